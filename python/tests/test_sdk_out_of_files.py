"""A process that can open no more files, or whose working directory was removed, goes on."""

from __future__ import annotations

import json

import pytest

FILES = """
    import json, os, resource, sys, warnings
    from thrifty import task

    @task
    def double(x: int) -> int:
        return x * 2

    if __name__ == "__main__":
        # Imported by now, and their sources read.
        warnings.formatwarning("", UserWarning, __file__, 1)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        held = []
        try:
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
        for _ in range(int(sys.argv[1])):
            os.close(held.pop())
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                value = double(2)
            except Exception as error:
                value = f"{type(error).__name__}: {error}"
        said = [str(it.message) for it in said]
        for number in held:
            os.close(number)
        print(json.dumps([value, said]))
"""


def test_too_few_files_for_the_cache_leave_the_value(programs):
    programs.write("main.py", FILES)
    value, said = json.loads(programs.run("main.py", "2"))
    assert value == 4
    assert len(said) == 1
    assert "without its cache directory" in said[0]
    assert "ulimit -n" in said[0]


def test_who_can_open_no_file_is_told_what_to_do(programs):
    """The code of a task is a part of its key, and is an error where it cannot be read."""
    programs.write("main.py", FILES)
    value, _ = json.loads(programs.run("main.py", "0"))
    assert value.startswith("Unfollowable: cannot read the source of module `__main__`")
    for words in ("Close files", "ulimit -n"):
        assert words in value
    assert "Cache(" not in value
    # A configuration that is there may say anything.
    programs.write("thrifty.toml", "seed = 1")
    value, _ = json.loads(programs.run("main.py", "0"))
    assert value.startswith("ValueError: cannot read ")
    for words in ("thrifty.toml: Too many open files", "ulimit -n"):
        assert words in value


@pytest.mark.skipif("sys.platform != 'linux'", reason="only Linux says where it was")
def test_what_is_above_a_working_directory_that_was_removed_still_counts(programs):
    programs.write(
        "main.py",
        """
        import os, pathlib
        from thrifty import task

        @task
        def double(x: int) -> int:
            return x * 2

        HERE = pathlib.Path(__file__).parent.absolute()
        os.mkdir(HERE / "gone")
        os.chdir(HERE / "gone")
        os.rmdir(HERE / "gone")
        run = double.run(2)
        print(run.value, double.map([3]), run.nodes[-1]["outcome"])
        """,
    )
    main = str(programs.directory / "main.py")
    assert programs.run(main) == "4 [6] computed\n"
    assert programs.run(main) == "4 [6] hit-local\n"
    programs.write("thrifty.toml", 'cache = "off"')
    assert programs.run(main) == "4 [6] uncached\n"
