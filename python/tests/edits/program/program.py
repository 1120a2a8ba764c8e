"""Everything in one file that is run, as a notebook that was exported."""

# %% imports
import functools
import linecache
import types

from thrifty import task

# %% settings
SEED = 42
STEPS = [1, 2, 3]
seen = {}


# %% helpers
def load(count=3):
    return list(range(count))


def scale(rows, factor=2):
    return [row * factor for row in rows]


class Model:
    rate = 0.5

    def fit(self, rows):
        self.total = sum(rows)
        return self

    def predict(self, x):
        return self.total * self.rate + x


def run_text(text, **names):
    """Makes a function of a text, as a console does."""
    filename = f"<cell {len(seen)}>"
    seen[filename] = text
    linecache.cache[filename] = (len(text), None, text.splitlines(True), filename)
    exec(compile(text, filename, "exec"), names)
    return names["made"]


made = run_text("def made(x):\n    return x + 1\n")
rebuilt = types.FunctionType(scale.__code__, {"__name__": __name__}, "rebuilt", (4,))
tables = {"load": load, "scale": scale}


@functools.wraps(len)
def measured(rows):
    return len(rows) + 1


# %% steps
@task
def loaded():
    return load()


@task
def scaled():
    return scale(load(2))


@task
def fitted():
    model = Model().fit(STEPS)
    return model.predict(SEED)


@task
def from_text():
    return made(1)


@task
def from_code():
    return rebuilt([1])


@task
def from_table():
    return tables["scale"]([3])


@task
def around_builtin():
    return measured([1, 2])


@task
def passed(model=Model(), function=scale):
    return model.fit([1]).predict(1), function([5])


# %% run
if __name__ == "__main__":
    from observe import observe

    observe(globals())
