"""How long files and functions are. A report: long is a smell, not a breach."""

import json
import shutil
import subprocess

from source import Finding, files, text

FILE_LINES = 600
FUNCTION_LINES = 60
FOLDERS = ('common', 'controller', 'agent', 'tests')


def long_functions(root, paths):
    ctags = shutil.which('ctags-universal') or shutil.which('ctags')
    if not ctags or 'Universal' not in subprocess.run([ctags, '--version'], capture_output=True,
                                                      text=True, check=False).stdout:
        return [Finding('.', 0, 'functions were not measured: universal-ctags is missing')]
    output = subprocess.run([ctags, '--output-format=json', '--fields=+ne', '--kinds-C=f',
                             '--languages=C', '-f', '-', '-L', '-'], cwd=root, text=True,
                            input='\n'.join(map(str, paths)), capture_output=True, check=True)
    found = []
    for line in output.stdout.splitlines():
        tag = json.loads(line)
        length = tag.get('end', tag['line']) - tag['line'] + 1
        if length > FUNCTION_LINES:
            found.append(Finding(tag['path'], tag['line'], f'{tag["name"]}() has {length} lines'))
    return found


def check(root):
    paths = files(root, FOLDERS, ('.c', '.h'))
    found = []
    for path in paths:
        length = text(root, path).count('\n')
        if length > FILE_LINES:
            found.append(Finding(path, 1, f'{length} lines'))
    return found + long_functions(root, paths)
