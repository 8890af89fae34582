"""A case is a function that misbehaves, and how many lines of the log it is worth."""

CASES = []


def case(*lines, at_most=None):
    """LINES: a pattern for each log line that is due, in any order. AT_MOST: instead, how many."""

    def register(function):
        CASES.append((function, lines, at_most))
        return function

    return register
