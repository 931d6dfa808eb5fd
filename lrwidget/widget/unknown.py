"""What is said where an attribute is set that a widget does not have."""

import difflib
from collections.abc import Collection


def unknown_attribute(kind: str, name: str, known: Collection[str]) -> AttributeError:
    """Return the error for an attribute that cannot be set.

    Args:
        kind: name of the widget's class.
        name: name of the attribute.
        known: the attributes that can be set.
    """
    meant = difflib.get_close_matches(name, known, n=1)
    if meant:
        mend = f"did you mean {meant[0]}?"
    elif name == "height":
        mend = f"give it to the constructor: {kind}(..., height=...)."
    else:
        mend = (
            f"an option is given to the constructor, {kind}(..., {name}=...), or to one run: "
            f"w.start({name}=...); what is no option is kept in a variable of your own."
        )
    return AttributeError(
        f"{kind} has no attribute {name!r} that could be set; {mend} "
        f"What can be set: {', '.join(sorted(known))}"
    )
