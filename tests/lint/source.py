"""Reading C sources well enough to lint them: which files there are, and their code without comments
and strings. Knows no rule."""

import re
from pathlib import Path

C_NOISE = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


class Finding:
    """One breach of a rule: where, and what a person should know about it."""

    def __init__(self, path, line, message):
        self.path, self.line, self.message = str(path), line, message

    def __str__(self):
        return f'{self.path}:{self.line}: {self.message}'


def files(root, folders, suffixes):
    """The files below root/folder for each folder, as sorted paths relative to root."""
    found = []
    for folder in folders:
        for path in (root / folder).rglob('*'):
            if path.suffix in suffixes and path.is_file():
                found.append(path.relative_to(root))
    return sorted(found)


def text(root, path):
    return (Path(root) / path).read_text(encoding='utf-8')


def blank(match):
    """Keep the line breaks, so that line numbers stay; strings keep their quotes."""
    found = match.group(0)
    lines = re.sub(r'[^\n]', ' ', found)
    return lines if found[0] == '/' else found[0] + lines[1:-1] + found[-1]


def code(source):
    """C source with comments and the insides of strings blanked out."""
    return C_NOISE.sub(blank, source)


def line_of(source, offset):
    return source.count('\n', 0, offset) + 1
