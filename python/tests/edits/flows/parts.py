"""What the tasks of the workflow use."""

OFFSET = 1


def clean_rows(rows):
    return [row + OFFSET for row in rows]


class Cleaner:
    def __init__(self, least):
        self.least = least

    def apply(self, rows):
        return [row for row in rows if self.keeps(row)]

    def keeps(self, row):
        return row >= self.least


def threshold():
    return 100
