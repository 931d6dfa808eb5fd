"""Remember the state of any object and put it back, bit for bit."""
