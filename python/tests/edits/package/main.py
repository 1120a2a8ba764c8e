"""The steps of the shop, one after the other."""

from shop import steps

if __name__ == "__main__":
    from observe import observe

    observe(vars(steps))
