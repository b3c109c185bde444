"""No message may contain itself, directly or through others: protobuf-c decodes without a depth limit,
so 290 bytes could kill a thread. Reads the compiler's descriptors, not the text."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from source import Finding, files

# Field numbers of google/protobuf/descriptor.proto.
FILE_SET_FILE, FILE_NAME, FILE_PACKAGE, FILE_MESSAGE = 1, 1, 2, 4
MESSAGE_NAME, MESSAGE_FIELD, MESSAGE_NESTED = 1, 2, 3
FIELD_TYPE_NAME = 6


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7f) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def fields(data):
    """The length-delimited fields of a message as (number, bytes); others are skipped."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            _, at = varint(data, at)
        elif key & 7 == 2:
            length, at = varint(data, at)
            yield key >> 3, data[at:at + length]
            at += length
        else:
            at += {1: 8, 5: 4}[key & 7]


def only(data, number):
    return [value for found, value in fields(data) if found == number]


def name(data, number):
    return b''.join(only(data, number)).decode()


def add_message(graph, origin, prefix, data):
    """Messages as '.package.Name' -> the messages and enums that its fields are of."""
    full = prefix + '.' + name(data, MESSAGE_NAME)
    graph[full] = {name(field, FIELD_TYPE_NAME) for field in only(data, MESSAGE_FIELD)} - {''}
    origin.setdefault(full, None)
    for nested in only(data, MESSAGE_NESTED):
        add_message(graph, origin, full, nested)


def message_graph(root):
    compiler = shutil.which('protoc-c') or shutil.which('protoc')
    protos = [str(path) for path in files(root, ('proto',), ('.proto',))]
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / 'set'
        subprocess.run([compiler, f'-I{root}', f'--descriptor_set_out={output}', *protos],
                       cwd=root, check=True)
        descriptors = output.read_bytes()
    graph, origin = {}, {}
    for proto in only(descriptors, FILE_SET_FILE):
        package = name(proto, FILE_PACKAGE)
        before = set(graph)
        for message in only(proto, FILE_MESSAGE):
            add_message(graph, origin, '.' + package if package else '', message)
        for added in set(graph) - before:
            origin[added] = name(proto, FILE_NAME)
    return graph, origin


def find_cycle(graph, start):
    """A way from a message back to itself, or nothing."""
    ways = [[start]]
    seen = set()
    while ways:
        way = ways.pop()
        for target in sorted(graph.get(way[-1], ())):
            if target == start:
                return way + [target]
            if target not in seen:
                seen.add(target)
                ways.append(way + [target])
    return None


def check(root):
    graph, origin = message_graph(root)
    findings = []
    for message in sorted(graph):
        cycle = find_cycle(graph, message)
        if cycle:
            findings.append(Finding(origin[message], 0, 'contains itself: ' + ' > '.join(cycle)))
    if not graph:
        findings.append(Finding('proto', 0, 'no message was found'))
    return findings
