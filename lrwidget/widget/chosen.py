"""The chosen rate: within which limits it is chosen, and the ways to take it away."""

from typing import Any

import traitlets

from lrwidget.task.optimizers import is_optimizer, unwrapped
from lrwidget.task.rates import apply_rate
from lrwidget.widget.export import Exported, export_rate
from lrwidget.widget.run_list import RunsWidget


class ChosenWidget(RunsWidget):
    """The chosen rate's part of the widget."""

    variable: Any
    _range: Any

    def export(self, name: str | None = None) -> float:
        """Write the chosen rate, a plain float, into a variable of the notebook; returns it.

        A cell that is already queued when this runs still has the old value.

        Args:
            name: of the variable; by default `variable`.

        Raises:
            ValueError: no rate is chosen, the name cannot be a variable, or it holds anything but a
                number.
            RuntimeError: this is not an IPython session.
        """
        return self._export(self.variable if name is None else name).value

    def apply(self, optimizer: Any = None) -> None:
        """Set the chosen rate on an optimizer, keeping the ratios of its param groups.

        The first group gets the rate; rates that are tensors are filled in place.

        Args:
            optimizer: which one; by default the one that the active run was given.

        Raises:
            ValueError: no rate is chosen, or the widget was given a class or factory, so that there
                is no optimizer of yours.
            TypeError: not an optimizer.
            RuntimeError: a sweep or check is under way and would undo it; or the widget is closed.
        """
        lr, source, latest = self.lr, self._source, self._latest
        overrides = self._current.overrides
        if lr is None:
            raise ValueError("there is no learning rate to apply yet; run the sweep or pick one")
        if optimizer is not None and not is_optimizer(optimizer):
            raise TypeError(f"optimizer is {optimizer!r}; expected a torch.optim.Optimizer")
        optimizer = unwrapped(optimizer)
        if source is None:
            if optimizer is None:
                raise RuntimeError("the widget is closed; give the optimizer: w.apply(optimizer)")
            apply_rate(optimizer, lr)
            return
        if latest is not None and latest.under_way and source.holds(optimizer, overrides):
            raise RuntimeError(
                f"the {latest.what} is {latest.state} and puts the optimizer back at its end; "
                "wait() for it or stop() it first"
            )
        source.apply(lr, optimizer, overrides)

    def _export(self, name: str) -> Exported:
        return export_rate(name, self.lr)

    # -- what was picked ------------------------------------------------------------------------

    def _note_pick(self) -> None:
        self._page.picked = True
        self._put("_picked", True)

    def _clamped(self, lr: float | None) -> float | None:
        if lr is None or self._run is None:
            return lr
        low, high = self._run.span
        return min(max(lr, low), high)

    @traitlets.validate("lr")
    def _lr_in_range(self, proposal: Any) -> float | None:
        return self._clamped(proposal["value"])

    @traitlets.validate("lr_range")
    def _lr_range_in_range(self, proposal: Any) -> tuple[float | None, float | None] | None:
        if proposal["value"] is None:
            return None
        low, high = (self._clamped(rate) for rate in proposal["value"])
        if low == high:
            raise traitlets.TraitError(
                f"lr_range is {proposal['value']}, outside of the sweep's range {self._range}"
            )
        return low, high
