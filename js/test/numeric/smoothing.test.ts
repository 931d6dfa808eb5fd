import { smoothed } from "../../src/numeric/smoothing";
import { describeSmoothing } from "../vectors";

describeSmoothing(smoothed, "smoothing.json");
