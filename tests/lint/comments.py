"""Every prototype in a header has a comment right before it, and every header begins with one. A
family of functions with one and the same signature may share its comment."""

import re

from source import Finding, code, files, line_of, text

# From the beginning of a line: words, stars, a name, parentheses up to the semicolon.
PROTOTYPE = re.compile(
    r'^(?!typedef\b|static\b|struct \w+ \{|#)((?:[A-Za-z_]\w*[ \t\n*]+)+)(\w+)\(([^;{}]*)\)'
    r'(?:\s*__attribute__\s*\(\([^;]*\)\))?\s*;', re.MULTILINE)


def check_header(path, source):
    findings = []
    family, family_end = None, None
    for match in PROTOTYPE.finditer(code(source)):
        result, name, parameters = match.groups()
        start = match.start()
        if not source[:start].endswith('*/\n') and \
                (family != (result, parameters) or source[family_end:start] != '\n'):
            findings.append(Finding(path, line_of(source, start), f'{name}() has no comment'))
        family, family_end = (result, parameters), match.end()
    return findings


def check(root):
    findings = []
    for path in files(root, ('common', 'controller', 'agent'), ('.h',)):
        source = text(root, path)
        if not source.startswith('/*'):
            findings.append(Finding(path, 1, 'has no opening comment'))
        findings += check_header(path, source)
    return findings
