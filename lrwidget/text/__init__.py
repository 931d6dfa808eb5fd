"""Parts of the sentences of errors, warnings and reasons; imports nothing but Python."""
