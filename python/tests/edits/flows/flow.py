"""Workflows: graphs of tasks, nested, and tasks that reach tasks."""

from thrifty import Cache, task, workflow

from parts import Cleaner, clean_rows, threshold


@task
def load(count=4):
    return list(range(count))


@task
def clean(rows, cleaner=Cleaner(1)):
    return cleaner.apply(clean_rows(rows))


@task
def train(rows, rate=0.5):
    return sum(rows) * rate


@task
def constant(rows):
    return 7 if rows else 8


@task
def report(value, limit=threshold()):
    return f"{value} of {limit}"


@task(cache=Cache(version="1"))
def versioned(value):
    return value + 1


@workflow
def training(count):
    return train(clean(load(count)))


@workflow
def experiment(count=4):
    value = training(count)
    return report(versioned(value))


@workflow
def cut_off(count=4):
    return report(constant(load(count)))


@task
def outer():
    return train([1, 2])


if __name__ == "__main__":
    from observe import observe

    observe({"experiment": experiment, "cut_off": cut_off, "outer": outer})
