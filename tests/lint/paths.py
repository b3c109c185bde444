"""In phoenix-host only controller/host/tree reaches files by name: everything else there acts on
descriptors, because a container's root can put a symlink into any path of its tree. Exceptions are
lines of path-calls.allow: FILE CALL REASON."""

import re

from source import Finding, code, files, line_of, text

ALLOW = 'tests/lint/path-calls.allow'
EXEMPT = 'controller/host/tree/'

CALLS = '''
    access acct basename_r chdir chmod chown chroot creat creat64 dlopen eaccess euidaccess fopen
    fopen64 freopen fts_open ftw getxattr glob lchmod lchown lgetxattr link listxattr llistxattr
    lremovexattr lsetxattr lstat lutimes mkdir mkdtemp mkfifo mknod mkostemp mkstemp mount nftw open
    open64 opendir pathconf pivot_root quotactl readlink realpath canonicalize_file_name remove
    removexattr rename rmdir scandir setxattr stat statfs statvfs swapoff swapon symlink tempnam
    truncate umount umount2 unlink utime utimes
'''.split()
CALL = re.compile(r'(?<![\w.>])(' + '|'.join(CALLS) + r')\s*\(')
AT_CWD = re.compile(r'\bAT_FDCWD\b')
NAME_BEFORE = re.compile(r'(\w+)\s*$')


def allowances(root):
    """(file, call) -> line of the allow-list; and what is wrong with the list itself."""
    allowed, findings = {}, []
    path = root / ALLOW
    lines = path.read_text(encoding='utf-8').splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        words = line.split(None, 2)
        if not words or words[0].startswith('#'):
            continue
        if len(words) < 3 or len(words[2].split()) < 3:
            findings.append(Finding(ALLOW, number, 'needs FILE CALL and a reason in words'))
        else:
            allowed[words[0], words[1]] = number
    return allowed, findings


def enclosing_call(source, offset):
    """The start and name of the call that an argument at offset belongs to."""
    depth = 1
    while depth and offset > 0:
        offset -= 1
        depth += {')': 1, '(': -1}.get(source[offset], 0)
    match = NAME_BEFORE.search(source, 0, offset)
    return (match.start(), match.group(1)) if match else (offset, 'AT_FDCWD')


def path_calls(source):
    """(offset, name) of each call that takes a path from the current or root directory."""
    blanked = code(source)
    blanked = re.sub(r'^[ \t]*#.*$', lambda match: ' ' * len(match.group(0)), blanked,
                     flags=re.MULTILINE)
    for match in CALL.finditer(blanked):
        yield match.start(), match.group(1)
    for match in AT_CWD.finditer(blanked):
        yield enclosing_call(blanked, match.start())


def check(root):
    allowed, findings = allowances(root)
    unused = dict(allowed)
    for path in files(root, ('controller/host',), ('.c', '.h')):
        if str(path).startswith(EXEMPT):
            continue
        source = text(root, path)
        for offset, call in path_calls(source):
            unused.pop((str(path), call), None)
            if (str(path), call) not in allowed:
                findings.append(Finding(path, line_of(source, offset),
                                        f'{call}() by path belongs into controller/host/tree, or '
                                        f'needs a reason in {ALLOW}'))
    for (path, call), number in unused.items():
        findings.append(Finding(ALLOW, number, f'{path} does not call {call}() any more'))
    return findings
