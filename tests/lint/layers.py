"""Who may include whom: controller, agent -> common -> proto; phoenixd and phoenix-host meet only in
proto; each library behind one door."""

import re
from fnmatch import fnmatch

from source import Finding, files, line_of, text

FOLDERS = ('common', 'controller', 'agent')
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.MULTILINE)

# Part of the tree -> what it may include; the first pattern that fits a file decides.
LAYERS = (
    ('common/*', ('common/', 'proto/')),
    ('agent/*', ('agent/', 'common/', 'proto/')),
    ('controller/host/*', ('controller/host/', 'common/', 'proto/')),
    # The doctor runs the parser as phoenix-host does, on behalf of whoever calls phoenixctl.
    ('controller/doctor/*', ('controller/doctor/', 'controller/host/exec/', 'common/')),
    ('controller/cli/*', ('controller/cli/', 'controller/host/exec/', 'controller/doctor/', 'controller/fleet/', 'common/', 'proto/',
                          # The profile's text, shown without a daemon: ph_confine_render, no libapparmor.
                          'controller/host/confine/abilities.h', 'controller/host/confine/render.h')),
    # The engine is driven, and knows nothing of who drives it.
    *((f'controller/rollout/{name}', ('controller/rollout/engine', 'controller/rollout/mutants.h', 'common/', 'proto/'))
      for name in ('engine*', 'states.c', 'results.c', 'waves.c')),
    ('controller/*', ('controller/link/', 'controller/rollout/', 'controller/denials/', 'controller/doctor/', 'controller/preflight/', 'controller/api/', 'controller/fleet/',
                      'controller/container/', 'controller/events/', 'controller/store/', 'controller/sandbox/',
                      'common/', 'proto/')),
)

# Header of a library -> the only files that may include it. A new door is a decision: it is made
# here, with the edges named in the comment of the line.
DOORS = (
    ('lxc/*', ('controller/host/lxc/*',)),
    ('sys/apparmor*', ('controller/host/confine/*',)),
    ('aalogparse*', ('controller/host/confine/*',)),
    ('seccomp.h', ('controller/sandbox/*',)),
    ('sqlite3*', ('controller/store/*', 'controller/events/*')),
    ('uv.h', (
        'common/address.*', 'common/barrier.*', 'common/channel.*', 'common/listener.*', 'common/loop.*', 'common/timer.*',
        'common/worker.*', 'common/worker_child.*',
        'controller/phoenixd.c', 'controller/host/main.c', 'agent/main.c',      # own the loop
        'controller/link/*', 'controller/host/verbs/server.*', 'controller/api/api.*',
        'controller/cli/client.*', 'agent/link.*', 'agent/service.*', 'agent/job.*',
        'controller/container/registry.h', 'controller/container/journal.h',    # pass the loop on
    )),
)


def allowed_by_layer(path, target):
    for pattern, prefixes in LAYERS:
        if fnmatch(path, pattern):
            return any(target.startswith(prefix) for prefix in prefixes)
    return True


def allowed_by_door(path, target):
    for header, doors in DOORS:
        if fnmatch(target, header):
            return any(fnmatch(path, door) for door in doors)
    return True


def check(root):
    findings = []
    for path in files(root, FOLDERS, ('.c', '.h')):
        source = text(root, path)
        for match in INCLUDE.finditer(source):
            quote, target = match.groups()
            line = line_of(source, match.start())
            if quote == '"' and '/' not in target:
                findings.append(Finding(path, line, f'"{target}" is not named from the root'))
            elif quote == '"' and not allowed_by_layer(str(path), target):
                findings.append(Finding(path, line, f'may not include "{target}"'))
            elif not allowed_by_door(str(path), target):
                findings.append(Finding(path, line, f'<{target}> has another door (layers.py)'))
    return findings
