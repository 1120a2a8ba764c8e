"""Names that stand in texts, in which pandas, numexpr, SQL engines and formulas look them up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from test_closure import Project

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


MODULE = """
    import helper
    import helper as pd
    from helper import other

    LIMIT = 2
    RATE = 3

    class Config:
        rate = 4

    def limit():
        return LIMIT

    def center(x):
        return x

    def run(frame, con, column, text):
        {body}
    """

#: A body, and what it must be seen to reach besides itself.
READ = {
    'return frame.query("a > @LIMIT")': {"step:LIMIT"},
    'return frame.query("a > @ LIMIT")': {"step:LIMIT"},
    'return frame.query("a > @limit()")': {"step:LIMIT", "step:limit"},
    'return frame.query("a > @Config.rate and b")': {"step:Config"},
    'return frame.query(f"{column} > @LIMIT")': {"step:LIMIT"},
    'return frame.query(expr="a > 1 or " "b > @LIMIT")': {"step:LIMIT"},
    'text = "a > @LIMIT"; return frame.query(text)': {"step:LIMIT"},
    'return frame.eval("b = a * @RATE", inplace=False)': {"step:RATE"},
    'return frame[frame.a > 0].eval("a * @RATE")': {"step:RATE"},
    'return frame.query("a > @helper.LEVEL")': {"helper:LEVEL"},
    'from helper import LEVEL\n        return frame.query("a > @LEVEL")': {"helper:LEVEL"},
    'return con.query("select a from RATE")': {"step:RATE"},
    'return con.sql("SELECT * FROM RATE WHERE a > 2")': {"step:RATE"},
    'import numexpr\n        return numexpr.evaluate("a * RATE")': {"step:RATE"},
    'return con.dmatrix("center(a) + b", frame)': {"step:center"},
    'return con.ols("a ~ center(b)", frame)': {"step:center"},
    'return pd.eval("frame + RATE")': {"step:RATE"},
}


@pytest.mark.parametrize("body", READ)
def test_a_name_in_a_text_that_is_looked_up_counts(project: Project, body: str) -> None:
    project.write(step=MODULE.replace("{body}", body), helper="LEVEL = 1\ndef other(): return 1\n")
    units = project.units()
    assert READ[body] <= set(units), "as it is"
    project.edit("step", "LIMIT = 2", "LIMIT = 0")
    project.edit("step", "RATE = 3", "RATE = 5")
    project.edit("step", "rate = 4", "rate = 6")
    project.edit("step", "return x", "return x - 1")
    project.edit("helper", "LEVEL = 1", "LEVEL = 2")
    assert project.units() != units, "after an edit"


#: Bodies with texts that name nothing of the module.
UNREAD = {
    'return frame.query("LIMIT > 1")': "a column",
    'return frame[frame.a > 0].query("RATE == 1 and limit")': "columns",
    'return frame["LIMIT"], "@RATE"': "nothing looks names up",
    'return frame.eval(), "@RATE"': "a method without a text",
    'LIMIT = 1; return frame.query("a > @LIMIT")': "a local",
    'return con.sql("select missing from nowhere, 1e5")': "not bound",
    '"""Reads @LIMIT."""; return frame.query("a > 1")': "a docstring",
}


@pytest.mark.parametrize("body", UNREAD)
def test_a_word_in_a_text_that_is_no_name_does_not_count(project: Project, body: str) -> None:
    project.write(step=MODULE.replace("{body}", body), helper="LEVEL = 1\ndef other(): return 1\n")
    assert set(project.units()) == {"step:run"}, UNREAD[body]


def test_a_star_brings_names_for_texts(project: Project) -> None:
    project.write(
        step="from helper import *\ndef run(con): return con.sql('select LEVEL from FRAME')\n",
        helper="LEVEL = 1\nFRAME = 2\n",
    )
    assert {"helper:LEVEL", "helper:FRAME"} <= set(project.units())
    notes = project.run("import step\nshow(step.run)")[-1]["notes"]
    assert notes == []


#: A call, and the word that is noted of it, if any.
NOTED = {
    "frame.query(text)": "query",
    'frame.query(f"{column} > 1")': "query",
    'frame.query("a" + text)': "query",
    "con.sql(query=text)": "sql",
    "frame.eval(text)": "eval",
    "pd.evaluate(text)": "evaluate",
    'frame.query("a" + "> 1")': None,
    'frame.query("a > @LIMIT")': None,
    "frame.eval()": None,
    "con.model.evaluate(frame)": None,
    "con.poisson(3)": None,
}


@pytest.mark.parametrize("call", NOTED)
def test_a_text_that_the_source_does_not_show_is_noted(project: Project, call: str) -> None:
    body = MODULE.replace("{body}", f"return {call}")
    project.write(step=body, helper="LEVEL = 1\ndef other(): return 1\ndef evaluate(t): return t\n")
    notes = project.run("import step\nshow(step.run)")[-1]["notes"]
    told = [note for note in notes if "is not followed" in note]
    expected = [f"step:run: what `{NOTED[call]}` at line 19 reaches is not followed"]
    assert told == (expected if NOTED[call] else []), notes


def test_both_from_pandas(project: Project) -> None:
    """The libraries do look where the closure says."""
    pytest.importorskip("pandas")
    project.write(
        step="""
        import json
        import pandas
        LIMIT = 2

        def limit():
            return LIMIT

        def run():
            frame = pandas.DataFrame({"a": [1, 2, 3]})
            return [
                frame.query("a > @LIMIT").a.tolist(),
                frame.query("a > @limit()").a.tolist(),
                frame.eval("b = a * @LIMIT").b.tolist(),
                int(pandas.eval("LIMIT + 1")),
            ]
        """
    )
    told = project.run("import step\nshow(step.run)\nprint(json.dumps(step.run()))")
    assert told[1] == [[3], [3], [2, 4, 6], 3]
    assert {"step:LIMIT", "step:limit"} <= set(told[0]["units"])
