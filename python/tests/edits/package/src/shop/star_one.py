def chosen():
    return 1


def only():
    return 2


def _private():
    return 3
