"""One rank of refinements over several processes: as worker.py, with scenes of `refine`."""

from typing import Any

from torch.utils.data import DataLoader, Subset

from lrwidget import LRRecords, TrainingTask
from lrwidget.curve import search
from lrwidget.engine.refine import refine_all, refinement_of, refining
from tests.process_group.worker import FAILS, RANK, Scene, main
from tests.tasks import blobs

LENGTH = 4
BUDGET = 6 * LENGTH + 1
search.SHORT_LENGTH, search.FARTHEST, search.NO_SUGGESTION = LENGTH, 1, 1e-2
# Batches of held-out data: the first losses that a rank computes.
HELD_OUT = 6


class RefineScene(Scene):
    """Trials around a rate, in which the trouble of the other scenes happens."""

    fails_at = HELD_OUT + 1  # in the first step of the first trial

    def sweep(self, facts: dict[str, Any]) -> Any:
        if self.trouble == "none":
            return
        options: dict[str, Any] = {}
        if self.trouble == "validation":  # as many batches on no two ranks
            options["val_data"] = DataLoader(Subset(blobs(), range(RANK, 48 + 32 * RANK)), 16)
        task = TrainingTask(self.model, self.optimizer, self.loss, self.batches(), **options)
        planned, held_out = (50, 0.1) if self.trouble == "options" and FAILS else (100, None)
        records = LRRecords()
        result = refinement_of(records, BUDGET, planned)
        try:
            if self.trouble == "stop":
                self.stopped_between_steps(task, result)
            else:
                refine_all(task, records, result, held_out)
        except KeyboardInterrupt:
            pass
        finally:
            facts["result"] = result.as_json()
            facts["own"] = self.own_losses

    def stopped_between_steps(self, task: TrainingTask, result: Any) -> None:
        work = refining(task, result)
        for number, _ in enumerate(work):
            if FAILS and number == LENGTH:
                break
        work.close()


if __name__ == "__main__":
    main(RefineScene)
