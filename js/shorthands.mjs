// Local names, which can be shortened, for what is called often; esbuild puts them where these stand.
const { abs, ceil, floor, log, log10, max, min, round } = Math;
const { isFinite, isInteger } = Number;
const { entries } = Object;
const [array, bool, dom, floats, number, text] = [
  Array,
  Boolean,
  document,
  Float64Array,
  Number,
  String,
];
export {
  abs as "Math.abs",
  ceil as "Math.ceil",
  floor as "Math.floor",
  log as "Math.log",
  log10 as "Math.log10",
  max as "Math.max",
  min as "Math.min",
  round as "Math.round",
  isFinite as "Number.isFinite",
  isInteger as "Number.isInteger",
  entries as "Object.entries",
  array as Array,
  bool as Boolean,
  dom as document,
  floats as Float64Array,
  number as Number,
  text as String,
};
