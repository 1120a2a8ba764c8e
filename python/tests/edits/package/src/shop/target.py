def patched():
    return 1


class Target:
    table = dict(a=1)
    act = lambda self: 1

    def method(self):
        return 1
