__all__ = ["extra"]


def chosen():
    return 10


def extra():
    return 20
