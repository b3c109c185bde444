"""Each rule must bite: small trees with one breach each, and the same trees put right. Prints TAP."""

import sys
import tempfile
from pathlib import Path

import comments
import layers
import paths
import recursion
import sizes

ALLOW = paths.ALLOW


def proto(body):
    return {'proto/a.proto': 'syntax = "proto3";\npackage p;\n' + body}


def header(body):
    return {'common/a.h': '/* What it is for. */\n#pragma once\n\n' + body}


def host(body, allow=None):
    tree = {'controller/host/image/a.c': body}
    if allow is not None:
        tree[ALLOW] = allow
    return tree


def including(path, *targets):
    return {path: ''.join(f'#include {target}\n' for target in targets)}


# name, rule, tree, a part of the one finding that is expected; '' for none
CASES = (
    ('common may include proto', layers, including('common/a.c', '"proto/model.pb-c.h"'), ''),
    ('common may not include controller', layers,
     including('common/a.c', '"controller/store/store.h"'), 'common/a.c:1: may not include'),
    ('common may not include agent', layers, including('common/a.h', '"agent/link.h"'),
     'may not include'),
    ('controller may not include agent', layers,
     including('controller/api/a.c', '"common/str.h"', '"agent/link.h"'),
     'controller/api/a.c:2: may not include'),
    ('agent may not include controller', layers,
     including('agent/docker/a.c', '"controller/fleet/fleet.h"'), 'may not include'),
    ('phoenixd may not include host', layers,
     including('controller/link/a.c', '"controller/host/tree/tree.h"'), 'may not include'),
    ('phoenixd.c may not include host', layers,
     including('controller/phoenixd.c', '"controller/host/tree/tree.h"'), 'may not include'),
    ('phoenixd may not include the CLI', layers,
     including('controller/api/a.c', '"controller/cli/client.h"'), 'may not include'),
    ('host may not include phoenixd', layers,
     including('controller/host/lxc/a.c', '"controller/store/store.h"'), 'may not include'),
    ('host rooms may include each other', layers,
     including('controller/host/lxc/a.c', '"controller/host/tree/tree.h"'), ''),
    ('an indented include counts', layers, {'common/a.c': ' # include  "agent/a.h"\n'},
     'may not include'),
    ('includes are named from the root', layers, including('common/a.c', '"str.h"'),
     'not named from the root'),
    ('liblxc has one door', layers, including('controller/container/a.c', '<lxc/lxccontainer.h>'),
     'another door'),
    ('liblxc in its door', layers, including('controller/host/lxc/a.c', '<lxc/lxccontainer.h>'), ''),
    ('libapparmor has one door', layers, including('controller/host/lxc/a.c', '<sys/apparmor.h>'),
     'another door'),
    ('libapparmor in its door', layers,
     including('controller/host/confine/a.c', '<sys/apparmor.h>'), ''),
    ('sqlite has two doors', layers, including('controller/fleet/a.c', '<sqlite3.h>'),
     'another door'),
    ('sqlite in its doors', layers, including('controller/events/a.c', '<sqlite3.h>'), ''),
    ('libuv only at the edges', layers, including('common/rpc.c', '<uv.h>'), 'another door'),
    ('libuv at an edge', layers, including('common/channel.h', '<uv.h>'), ''),

    ('a documented prototype', comments, header('/* Do it. */\nint a_do(void);\n'), ''),
    ('a prototype without comment', comments, header('int a_do(void);\n'),
     'common/a.h:4: a_do() has no comment'),
    ('a blank line parts it from its comment', comments,
     header('/* Do it. */\n\nint a_do(void);\n'), 'a_do() has no comment'),
    ('one comment for two different prototypes', comments,
     header('/* Do it. */\nint a_do(void);\nint a_undo(int how);\n'), 'a_undo() has no comment'),
    ('one comment for different results', comments,
     header('/* Do it. */\nint a_do(void);\nlong a_undo(void);\n'), 'a_undo() has no comment'),
    ('one comment for a family', comments,
     header('/* Do it. */\nint a_do(void);\nint a_undo(void);\nint a_redo(void);\n'), ''),
    ('a family without comment', comments, header('int a_do(void);\nint a_undo(void);\n'),
     'a_do() has no comment'),
    ('a blank line ends the family', comments,
     header('/* Do it. */\nint a_do(void);\n\nint a_undo(void);\n'), 'a_undo() has no comment'),
    ('a long prototype', comments,
     header('struct a *a_find(const char *name,\n\t\t void (*found)(void *user));\n'),
     'a_find() has no comment'),
    ('a prototype with an attribute', comments,
     header('int a_log(const char *text, ...)\n\t__attribute__((format(printf, 1, 2)));\n'),
     'a_log() has no comment'),
    ('a return type on its own line', comments, header('const char *\na_name(void);\n'),
     'a_name() has no comment'),
    ('types, macros and inline functions need none', comments,
     header('typedef int (*a_fn)(void *user);\nstruct a;\nstruct b {\n\tint (*run)(void);\n};\n'
            '#define A(x) a_do(x);\nstatic inline int a_one(void)\n{\n\treturn a_two();\n}\n'), ''),
    ('a comment is no prototype', comments, header('/*\nint a_do(void);\n*/\n'), ''),
    ('a header without opening comment', comments, {'agent/a.h': '#pragma once\n'},
     'agent/a.h:1: has no opening comment'),

    ('a plain tree of messages', recursion,
     proto('message A { B b = 1; repeated C c = 2; } message B { C c = 1; } message C {}'), ''),
    ('a message in itself', recursion, proto('message A { A a = 1; }'), '.p.A > .p.A'),
    ('a message in itself, repeated', recursion, proto('message A { repeated A a = 1; }'),
     '.p.A > .p.A'),
    ('a message in a oneof of itself', recursion,
     proto('message A { oneof body { A a = 1; string b = 2; } }'), '.p.A > .p.A'),
    ('a message in its map', recursion, proto('message A { map<string, A> a = 1; }'), '.p.A'),
    ('a nested message that contains its parent', recursion,
     proto('message A { message B { A a = 1; } B b = 1; }'), '.p.A > .p.A.B > .p.A'),
    ('three messages in a ring', recursion,
     proto('message A { B b = 1; } message B { C c = 1; } message C { A a = 1; }'),
     '.p.A > .p.B > .p.C > .p.A'),
    ('a ring through another file', recursion,
     {'proto/a.proto': 'syntax = "proto3"; package p; import "proto/b.proto"; '
                       'message A { q.B b = 1; }',
      'proto/b.proto': 'syntax = "proto3"; package q; message B { B b = 1; }'}, '.q.B > .q.B'),
    ('no message at all is suspicious', recursion, proto(''), 'no message was found'),

    ('a call by descriptor', paths, host('fd = openat(tree, name, O_RDONLY);\n'), ''),
    ('a call by path', paths, host('\nfd = open(path, O_RDONLY);\n'),
     'controller/host/image/a.c:2: open() by path'),
    ('a call with a blank before the parenthesis', paths, host('unlink (path);\n'), 'unlink()'),
    ('a call relative to the working directory', paths,
     host('fd = openat(\n\tAT_FDCWD, path, 0);\n'), 'openat() by path'),
    ('the innermost call is named', paths,
     host('if (check(flags(1), openat(AT_FDCWD, path, 0)) < 0)\n'), 'a.c:1: openat() by path'),
    ('renames count on either side', paths, host('renameat(tree, from, AT_FDCWD, to);\n'),
     'renameat() by path'),
    ('members, longer names, comments and strings are no calls', paths,
     host('file->open(file); image_open(x); /* open(x) */ log("mount(2)"); a.stat(b);\n'), ''),
    ('the tree room is exempt', paths, {'controller/host/tree/a.c': 'open(path, 0);\n'}, ''),
    ('phoenixd is not its subject', paths, {'controller/store/a.c': 'open(path, 0);\n'}, ''),
    ('an allowed call', paths,
     host('open(path, 0);\n', 'controller/host/image/a.c open the root-only spool directory\n'), ''),
    ('another call in an allowed file', paths,
     host('open(path, 0);\nmkdir(path, 0);\n',
          'controller/host/image/a.c open the root-only spool directory\n'), 'mkdir() by path'),
    ('a reason that is none', paths,
     host('', 'controller/host/image/a.c open because\n'), 'a reason in words'),
    ('an allowance that nobody uses', paths,
     host('', '# comment\n\ncontroller/host/image/a.c open the root-only spool directory\n'),
     f'{ALLOW}:3: controller/host/image/a.c does not call open() any more'),

    ('a short file', sizes, {'common/a.c': 'int a;\n' * 600}, ''),
    ('a long file', sizes, {'common/a.c': 'int a;\n' * 601}, 'common/a.c:1: 601 lines'),
    ('a function that is just short enough', sizes,
     {'common/a.c': 'int a(void)\n{\n' + '\ta();\n' * 57 + '}\n'}, ''),
    ('a long function', sizes, {'common/a.c': 'int a(void)\n{\n' + '\ta();\n' * 58 + '}\n'},
     'a() has 61 lines'),
)


def run_case(rule, tree):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for path, content in tree.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(content, encoding='utf-8')
        return [str(finding) for finding in rule.check(root)]


def is_expected(findings, part):
    if not part:
        return not findings
    return len(findings) >= 1 and any(part in finding for finding in findings)


def main():
    failed = 0
    print(f'1..{len(CASES)}')
    for number, (name, rule, tree, part) in enumerate(CASES, 1):
        findings = run_case(rule, tree)
        good = is_expected(findings, part)
        failed += not good
        print(f'{"ok" if good else "not ok"} {number} - {rule.__name__}: {name}')
        if not good:
            print(f'#   expected: {part or "nothing"}')
            for finding in findings:
                print(f'#   found: {finding}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
