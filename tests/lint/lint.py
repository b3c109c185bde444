"""Run the rules on a source tree and print TAP; fails when a rule that is not a report finds
something."""

import sys
from pathlib import Path

import comments
import layers
import paths
import recursion
import sizes

RULES = (
    ('include layers', layers.check, False),
    ('header comments', comments.check, False),
    ('no recursive message', recursion.check, False),
    ('path calls in phoenix-host', paths.check, False),
    ('sizes (report)', sizes.check, True),
)


def main(root):
    failed = False
    print(f'1..{len(RULES)}')
    for number, (name, check, is_report) in enumerate(RULES, 1):
        findings = check(root)
        good = is_report or not findings
        failed = failed or not good
        print(f'{"ok" if good else "not ok"} {number} - {name}')
        for finding in findings:
            print(f'#   {finding}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main(Path(sys.argv[1]).resolve()))
