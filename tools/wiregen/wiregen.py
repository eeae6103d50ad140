#!/usr/bin/env python3
"""wiregen: schema/*.msg -> gen/<name>.{h,c} and gen/protocol.{h,c}.

    wiregen.py --out DIR SCHEMA.msg... errors.tsv     writes what changed into DIR
    wiregen.py --list SCHEMA.msg...                   prints the names of the outputs
    wiregen.py --json SCHEMA.msg...                   prints the parsed schemas, for tests

The notation is described in common/wire/README.md. Mistakes are reported as file:line: text.
"""
import json
import os
import re
import sys

NUMBERS = {'bool': 1, 'int8': 1, 'int16': 2, 'int32': 4, 'int64': 8, 'float64': 8}
BASIC = dict(NUMBERS, uuid=16, string=None, bytes=None, records=None)
C_TYPES = {'bool': 'bool', 'int8': 'int8_t', 'int16': 'int16_t', 'int32': 'int32_t',
           'int64': 'int64_t', 'float64': 'double', 'uuid': 'struct uuid',
           'string': 'struct slice', 'bytes': 'struct slice', 'records': 'struct slice'}
C_WORDS = set('auto break case char const continue default do double else enum extern float for goto '
              'if inline int long register restrict return short signed sizeof static struct switch '
              'typedef union unsigned void volatile while bool true false'.split())
NAME = re.compile(r'[a-z][a-z0-9_]*$')


class Mistake(Exception):
    def __init__(self, where, text):
        super().__init__('%s:%d: %s' % (where[0], where[1], text))


def parse_versions(text, parent, where):
    """'3', '3-7', '3+' within the parent's range; None is the parent's."""
    if text is None:
        return parent
    match = re.match(r'(\d+)(?:-(\d+)|(\+))?$', text)
    if not match:
        raise Mistake(where, 'versions "%s" are neither N, N-M nor N+' % text)
    low = int(match[1])
    if match[3]:
        if parent is None:
            raise Mistake(where, 'versions "%s" need an end' % text)
        high = parent[1]
    else:
        high = int(match[2]) if match[2] else low
    if low > high:
        raise Mistake(where, 'versions %s are empty' % text)
    if parent is not None and (low < parent[0] or high > parent[1]):
        raise Mistake(where, 'versions %d-%d outside %d-%d of the parent' % (low, high, *parent))
    return (low, high)


class Struct:
    def __init__(self, name, versions, where):
        self.name, self.versions, self.where = name, versions, where
        self.fields = []
        self.c_name = None


class Field:
    def __init__(self, name, where):
        self.name, self.where = name, where
        self.type = self.struct = self.tag = self.default = self.null = None
        self.is_array = self.is_classic = self.is_secret = False
        self.versions = None

    def is_pointer(self):
        return self.struct is not None and not self.is_array and self.null is not None


class Message:
    """One top-level struct: a request, a response, a key, a value, a header, a document."""

    def __init__(self, kind, c_name, versions, flexible, where):
        self.kind, self.c_name = kind, c_name
        self.versions, self.flexible = versions, flexible
        self.root = Struct(c_name, versions, where)
        self.root.c_name = c_name
        self.shared = {}
        self.structs = []           # in order of definition: inner ones first


class Schema:
    def __init__(self, path):
        self.path = path
        self.base = os.path.splitext(os.path.basename(path))[0]
        self.api = None             # (key, name)
        self.record = None          # its name
        self.is_kraft = self.is_unstable = False
        self.versions = self.flexible = None
        self.messages = []


def parse_head_words(words, where):
    """versions R  flexible N+|never  and flags, as a dict."""
    found = {}
    words = list(words)
    while words:
        word = words.pop(0)
        if word in ('versions', 'flexible'):
            if not words:
                raise Mistake(where, '"%s" needs a value' % word)
            found[word] = words.pop(0)
        elif word in ('kraft', 'unstable'):
            found[word] = True
        else:
            raise Mistake(where, 'unknown word "%s"' % word)
    return found


def parse_flexible(text, versions, where):
    """First flexible version, or one past the last."""
    if text == 'never':
        return versions[1] + 1
    if text is None or not re.match(r'\d+\+$', text):
        raise Mistake(where, 'flexible must be "N+" or "never"')
    first = int(text[:-1])
    if not versions[0] <= first <= versions[1]:
        raise Mistake(where, 'flexible %s outside versions %d-%d' % (text, *versions))
    return first


def parse_head(schema, words, where):
    """An unindented line: begins a file, or a message in it. Gives the message or None."""
    kind = words[0]
    if kind == 'api':
        if schema.api or len(words) < 3 or not words[1].isdigit() or not NAME.match(words[2]):
            raise Mistake(where, 'expected one "api KEY NAME versions … flexible …" per file')
        if words[2] != schema.base:
            raise Mistake(where, 'the file of api %s must be %s.msg' % (words[2], words[2]))
        schema.api = (int(words[1]), words[2])
        head = parse_head_words(words[3:], where)
        schema.versions = parse_versions(head.get('versions', ''), None, where)
        schema.flexible = parse_flexible(head.get('flexible'), schema.versions, where)
        schema.is_kraft = 'kraft' in head
        schema.is_unstable = 'unstable' in head
        return None
    if kind == 'record':
        if len(words) != 2 or schema.base not in (words[1], words[1] + '_record'):
            raise Mistake(where, 'the file of record NAME is NAME.msg, or NAME_record.msg beside an api')
        schema.record = words[1]
        return None
    if kind in ('request', 'response'):
        if not schema.api or len(words) > 1:
            raise Mistake(where, '"%s" belongs below an "api" line and stands alone' % kind)
        name, versions, flexible = '%s_%s' % (schema.base, kind), schema.versions, schema.flexible
    elif kind in ('key', 'value', 'data'):
        rest = words[1:]
        if kind != 'data' and not schema.record:
            raise Mistake(where, '"%s" belongs below a "record" line' % kind)
        if kind == 'data':
            if not rest or not NAME.match(rest[0]):
                raise Mistake(where, 'expected "data NAME versions … flexible …"')
            name = rest.pop(0)
        else:
            name = '%s_%s' % (schema.record, kind)
        head = parse_head_words(rest, where)
        versions = parse_versions(head.get('versions', ''), None, where)
        flexible = parse_flexible(head.get('flexible'), versions, where)
    else:
        raise Mistake(where, 'unknown line "%s"' % kind)
    message = Message(kind, name, versions, flexible, where)
    schema.messages.append(message)
    return message


def parse_default(field, text, where):
    if text == 'null':
        if field.null is None:
            raise Mistake(where, 'default null, but %s may not be null' % field.name)
        return 'null'
    if field.is_array or field.type not in NUMBERS:
        raise Mistake(where, 'a default of %s can only be null' % field.name)
    if field.type == 'bool':
        if text != 'true':
            raise Mistake(where, 'a bool is false when absent: the only other default is true')
        return 1
    try:
        value = int(text)
    except ValueError:
        raise Mistake(where, 'default "%s" is no number' % text) from None
    bits = NUMBERS[field.type] * 8
    if field.type != 'float64' and not -(1 << (bits - 1)) <= value < 1 << (bits - 1):
        raise Mistake(where, 'default %d does not fit %s' % (value, field.type))
    return value


def parse_field(message, parent, words, where):
    words = list(words)
    field = Field(words.pop(0), where)
    if not NAME.match(field.name) or field.name in C_WORDS:
        raise Mistake(where, '"%s" cannot be a field name' % field.name)
    if any(other.name == field.name for other in parent.fields):
        raise Mistake(where, 'field %s twice' % field.name)
    if not words:
        raise Mistake(where, 'field %s has no type' % field.name)
    match = re.match(r'(\[)?([a-z0-9_]+)(\])?(\?(\S+)?)?$', words[0])
    if not match or bool(match[1]) != bool(match[3]):
        raise Mistake(where, 'type "%s" is not understood' % words[0])
    words.pop(0)
    field.is_array, field.type = bool(match[1]), match[2]
    versions = words.pop(0) if words and words[0][0].isdigit() else None
    field.versions = parse_versions(versions, parent.versions, where)
    if match[4]:
        field.null = parse_versions(match[5], field.versions, where)
    while words:
        word = words.pop(0)
        if word == 'tag' and words and words[0].isdigit():
            field.tag = int(words.pop(0))
            if field.versions[0] < message.flexible:
                raise Mistake(where, 'tagged %s is in versions that are not flexible' % field.name)
        elif word == '=' and words:
            field.default = parse_default(field, words.pop(0), where)
        elif word == 'classic':
            field.is_classic = True
        elif word == 'secret':
            field.is_secret = True
        else:
            raise Mistake(where, '"%s" is not understood' % word)
    if field.null and field.type in BASIC and field.type in C_TYPES and not field.is_array and \
            field.type not in ('string', 'bytes', 'records'):
        raise Mistake(where, '%s cannot be null' % field.type)
    if field.is_classic and (field.type != 'string' or field.is_array):
        raise Mistake(where, 'only a string can be classic')
    return field


def parse_file(path):
    schema = Schema(path)
    message = None
    stack = []                      # (indent of its fields, Struct)
    pending = None                  # a struct that the next, deeper line begins
    with open(path, encoding='utf-8') as file:
        lines = file.read().split('\n')
    for number, line in enumerate(lines, 1):
        where = (path, number)
        text = line.split('#')[0].rstrip()
        if not text.strip():
            continue
        if '\t' in text:
            raise Mistake(where, 'indent with spaces')
        words = text.split()
        indent = len(text) - len(text.lstrip())
        if indent == 0:
            message = parse_head(schema, words, where)
            stack = [(4, message.root)] if message else []
            pending = None
            continue
        if message is None:
            raise Mistake(where, 'a field outside of a message')
        if indent % 4:
            raise Mistake(where, 'indent by four')
        if pending and indent == stack[-1][0] + 4:
            stack.append((indent, pending))
        while stack and indent < stack[-1][0]:
            stack.pop()
        if indent != stack[-1][0]:
            raise Mistake(where, 'indented deeper than what could own it')
        pending = None
        parent = stack[-1][1]
        if words[0] == 'struct' and len(words) in (2, 3) and indent == 4:
            versions = parse_versions(words[2] if len(words) == 3 else None, message.versions, where)
            pending = Struct(words[1], versions, where)
            pending.c_name = '%s_%s' % (message.c_name, words[1])
            if words[1] in message.shared:
                raise Mistake(where, 'struct %s twice' % words[1])
            message.shared[words[1]] = pending
            continue
        field = parse_field(message, parent, words, where)
        parent.fields.append(field)
        if field.type not in BASIC:
            pending = Struct(field.type, field.versions, where)
            pending.c_name = '%s_%s' % (parent.c_name, field.type)
            field.struct = pending
    for message in schema.messages:
        settle(message)
    return schema


def settle(message):
    """Resolves shared structs, checks what only the whole shows, and orders the definitions."""
    seen = {}

    def visit(struct):
        if not struct.fields:
            raise Mistake(struct.where, 'struct %s has no fields' % struct.name)
        for field in struct.fields:
            if field.struct is None:
                continue
            if not field.struct.fields:
                if field.type not in message.shared:
                    raise Mistake(field.where, 'unknown type %s' % field.type)
                field.struct = message.shared[field.type]
                low, high = field.struct.versions
                if field.versions[0] < low or field.versions[1] > high:
                    raise Mistake(field.where, 'versions of %s are outside %d-%d of struct %s' %
                                  (field.name, low, high, field.type))
            if field.is_pointer() and field.default != 'null':
                raise Mistake(field.where, 'a struct that may be null is null when absent')
            if field.struct not in message.structs:
                if field.struct.c_name in seen:
                    raise Mistake(field.where, 'a second struct %s' % field.struct.c_name)
                visit(field.struct)
        if len(struct.fields) > 64:
            raise Mistake(struct.where, 'struct %s has more than 64 fields' % struct.name)
        tags = [field.tag for field in struct.fields if field.tag is not None]
        if sorted(tags) != list(range(len(tags))):
            raise Mistake(struct.where, 'tags of %s are not 0 to %d' % (struct.name, len(tags) - 1))
        seen[struct.c_name] = struct
        message.structs.append(struct)

    if not message.root.fields:
        message.structs.append(message.root)    # headers and keys may be empty
    else:
        visit(message.root)
    for struct in message.shared.values():
        if struct not in message.structs:
            raise Mistake(struct.where, 'struct %s is not used' % struct.name)


# --- what is printed ---

def least(message, struct, version):
    """Fewest bytes of a value in this version; at least 1, so that counts stay bounded."""
    flexible = version >= message.flexible
    size = 1 if flexible else 0
    for field in struct.fields:
        if not field.versions[0] <= version <= field.versions[1] or field.tag is not None:
            continue
        if field.is_array or field.type in ('bytes', 'records'):
            size += 1 if flexible else 4
        elif field.type == 'string':
            size += 1 if flexible and not field.is_classic else 2
        elif field.is_pointer():
            size += 1
        elif field.struct:
            size += least(message, field.struct, version)
        else:
            size += BASIC[field.type]
    return max(size, 1)


def range_text(versions, of):
    low, high = versions
    if high == of[1]:
        return '%d+' % low
    return '%d' % low if low == high else '%d-%d' % (low, high)


def describe(field, message):
    notes = []
    if field.versions != message.versions:
        notes.append(range_text(field.versions, message.versions))
    if field.null:
        notes.append('may be null' if field.null == field.versions
                     else 'may be null ' + range_text(field.null, message.versions))
    if field.tag is not None:
        notes.append('tag %d' % field.tag)
    if field.default is not None:
        notes.append('else %s' % ('true' if field.type == 'bool' else field.default))
    return ', '.join(notes)


def declare(field):
    kind = 'struct ' + field.struct.c_name if field.struct else C_TYPES[field.type]
    if field.is_array:
        star = '*' if kind[-1] != '*' else ''
        return 'struct { %s %sat; int32_t count; } %s;' % (kind, star, field.name)
    if field.is_pointer():
        return '%s *%s;' % (kind, field.name)
    return '%s %s;' % (kind, field.name)


def title(schema, message=None):
    source = 'Built from schema/%s.msg: edit that.' % schema.base
    if schema.api:
        return '%s (%d), versions %d-%d. %s' % (schema.base, schema.api[0], *schema.versions, source)
    return '%s. %s' % (schema.base, source)


def header_text(schema):
    out = ['/* %s */' % title(schema), '#pragma once', '#include "wire/codec.h"', '']
    for message in schema.messages:
        flexible = ('never flexible' if message.flexible > message.versions[1]
                    else 'flexible %d+' % message.flexible)
        out += ['/* %s: versions %d-%d, %s. */' % (message.c_name, *message.versions, flexible)]
        for struct in message.structs:
            out.append('struct %s {' % struct.c_name)
            if not struct.fields:
                out.append('    char nothing;')
            for field in struct.fields:
                line = '    ' + declare(field)
                note = describe(field, message)
                out.append('%-59s /* %s */' % (line, note) if note else line)
            out += ['};', '']
        out += ['extern const struct wire_struct %s_wire;' % message.c_name, '']
    return '\n'.join(out[:-1]) + '\n'


def field_row(struct, field):
    absent = field.default if field.default not in (None, 'null') else 0
    parts = ['"%s"' % field.name, 'WIRE_%s' % ('STRUCT' if field.struct else field.type.upper())]
    row = ['.name = "%s"' % field.name, '.type = %s' % parts[1]]
    if field.is_array:
        row.append('.is_array = true')
    if field.is_classic:
        row.append('.is_classic = true')
    if field.is_secret:
        row.append('.is_secret = true')
    if field.default == 'null':
        row.append('.is_null_absent = true')
    row.append('.tag = %d' % (-1 if field.tag is None else field.tag))
    row.append('.min = %d, .max = %d' % field.versions)
    row.append('.null_min = %d, .null_max = %d' % (field.null or (1, 0)))
    row.append('.offset = offsetof(struct %s, %s)' % (struct.c_name, field.name))
    if field.struct:
        row.append('.of = &%s_wire' % field.struct.c_name)
    if absent:
        text = 'INT64_MIN' if absent == -(1 << 63) else 'INT64_C(%d)' % absent
        row.append('.absent = %s' % text)
    return '    {%s},' % ', '.join(row)


def source_text(schema):
    out = ['/* %s */' % title(schema), '#include "wire/gen/%s.h"' % schema.base, '#include <stddef.h>',
           '']
    for message in schema.messages:
        for struct in message.structs:
            fields = [f for f in struct.fields if f.tag is None]
            tagged = sorted((f for f in struct.fields if f.tag is not None), key=lambda f: f.tag)
            if struct.fields:
                out.append('static const struct wire_field %s_fields[] = {' % struct.c_name)
                out += [field_row(struct, field) for field in fields + tagged]
                out.append('};')
            sizes = [least(message, struct, v)
                     for v in range(message.versions[0], message.versions[1] + 1)]
            out.append('static const uint16_t %s_least[] = {%s};' %
                       (struct.c_name, ', '.join(map(str, sizes))))
            static = '' if struct is message.root else 'static '
            out += ['%sconst struct wire_struct %s_wire = {' % (static, struct.c_name),
                    '    .name = "%s",' % struct.name,
                    '    .fields = %s,' % (struct.c_name + '_fields' if struct.fields else 'NULL'),
                    '    .field_count = %d,' % len(struct.fields),
                    '    .tagged = %d,' % len(fields),
                    '    .min = %d, .max = %d, .flexible_min = %d,' %
                    (*message.versions, message.flexible),
                    '    .size = sizeof(struct %s),' % struct.c_name,
                    '    .least = %s_least,' % struct.c_name, '};']
            for field in struct.fields:
                if field.is_array:
                    of = 'struct %s' % struct.c_name
                    out.append('_Static_assert(offsetof(%s, %s.count) - offsetof(%s, %s.at) == '
                               'sizeof(void *), "array");' % (of, field.name, of, field.name))
            out.append('')
    return '\n'.join(out[:-1]) + '\n'


def read_errors(path):
    errors = []
    with open(path, encoding='utf-8') as file:
        for number, line in enumerate(file, 1):
            if line.startswith('#') or not line.strip():
                continue
            parts = line.rstrip('\n').split('\t')
            if len(parts) != 3 or not re.match(r'-?\d+$', parts[0]) or \
                    not re.match(r'[A-Z0-9_]+$', parts[1]) or parts[2] not in ('yes', 'no'):
                raise Mistake((path, number), 'expected CODE, NAME and yes or no, between tabs')
            errors.append((int(parts[0]), parts[1], parts[2] == 'yes'))
    codes = [code for code, _, _ in errors]
    if codes != list(range(-1, len(codes) - 1)):
        raise Mistake((path, 1), 'codes do not count up from -1')
    return errors


def check_names(schemas):
    seen = {}
    for schema in schemas:
        for message in schema.messages:
            for struct in message.structs:
                if struct.c_name in seen:
                    raise Mistake(struct.where, 'struct %s is also in %s:%d' %
                                  (struct.c_name, *seen[struct.c_name]))
                seen[struct.c_name] = struct.where


def check_apis(schemas):
    apis = sorted((s for s in schemas if s.api), key=lambda s: s.api[0])
    for one, two in zip(apis, apis[1:]):
        if one.api[0] == two.api[0]:
            raise Mistake((two.path, 1), 'api key %d is that of %s' % (two.api[0], one.base))
    for schema in apis:
        if [m.kind for m in schema.messages] != ['request', 'response']:
            raise Mistake((schema.path, 1), 'an api has one request and one response, in this order')
    return apis


def protocol_header(apis, schemas, errors):
    out = ['/* Kafka\'s api keys and error codes. Built from schema/: edit that.',
           ' * Functions over these tables are in wire/protocol.h. */', '#pragma once',
           '#include "wire/codec.h"', '', 'enum api_key {']
    out += ['    API_%s = %d,' % (s.base.upper(), s.api[0]) for s in apis]
    out += ['};', '#define API_KEY_MAX %d' % apis[-1].api[0], '',
            '/* One api, as the schemas have it. What a process truly serves is its own table. */',
            'struct api_info {', '    const char *name; /* "fetch" */', '    int16_t key;',
            '    int16_t version_min, version_max;',
            '    int16_t flexible_min; /* above version_max: never */',
            '    bool is_kraft;        /* not offered by a broker in ZooKeeper mode */',
            '    bool is_unstable;     /* its latest version is not released */',
            '    const struct wire_struct *request;', '    const struct wire_struct *response;', '};',
            '', '#define API_COUNT %d' % len(apis),
            'extern const struct api_info api_infos[API_COUNT]; /* by key, ascending */', '',
            '/* Every message there is: for tools and tests that go over all. */',
            'struct wire_message {', '    const char *name; /* "fetch_request" */',
            '    const struct wire_struct *type;', '};',
            '#define WIRE_MESSAGE_COUNT %d' % sum(len(s.messages) for s in schemas),
            'extern const struct wire_message wire_messages[WIRE_MESSAGE_COUNT];', '',
            'enum kafka_error {']
    out += ['    KAFKA_%s = %d,' % (name, code) for code, name, _ in errors]
    out += ['};', '#define KAFKA_ERROR_MAX %d' % errors[-1][0], '',
            'struct kafka_error_info {', '    const char *name; /* "OFFSET_OUT_OF_RANGE" */',
            '    bool is_retriable;', '};',
            '/* The code -1 is first: see kafka_error_name in wire/protocol.h. */',
            'extern const struct kafka_error_info kafka_error_infos[KAFKA_ERROR_MAX + 2];']
    return '\n'.join(out) + '\n'


def protocol_source(apis, schemas, errors):
    out = ['/* Built from schema/: edit that. */', '#include "wire/gen/protocol.h"']
    out += ['#include "wire/gen/%s.h"' % s.base for s in schemas]
    out += ['', 'const struct api_info api_infos[API_COUNT] = {']
    for s in apis:
        out.append('    {"%s", %d, %d, %d, %d, %s, %s, &%s_request_wire, &%s_response_wire},' %
                   (s.base, s.api[0], *s.versions, s.flexible, str(s.is_kraft).lower(),
                    str(s.is_unstable).lower(), s.base, s.base))
    out += ['};', '', 'const struct wire_message wire_messages[WIRE_MESSAGE_COUNT] = {']
    for s in schemas:
        out += ['    {"%s", &%s_wire},' % (m.c_name, m.c_name) for m in s.messages]
    out += ['};', '', 'const struct kafka_error_info kafka_error_infos[KAFKA_ERROR_MAX + 2] = {']
    out += ['    {"%s", %s},' % (name, str(retriable).lower()) for _, name, retriable in errors]
    out += ['};']
    return '\n'.join(out) + '\n'


def write_changed(path, text):
    """Leaves a file that is right as it is, so that nothing is compiled in vain."""
    try:
        with open(path, encoding='utf-8') as file:
            if file.read() == text:
                return
    except FileNotFoundError:
        pass
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)


def as_json(schemas):
    def of_struct(struct):
        return {'name': struct.name, 'versions': struct.versions,
                'fields': [of_field(field) for field in struct.fields]}

    def of_field(field):
        return {'name': field.name, 'type': field.type, 'is_array': field.is_array,
                'versions': field.versions, 'null': field.null, 'tag': field.tag,
                'default': field.default, 'is_classic': field.is_classic,
                'struct': of_struct(field.struct) if field.struct else None}

    return [{'name': m.c_name, 'kind': m.kind, 'versions': m.versions, 'flexible': m.flexible,
             'api': s.api, 'is_kraft': s.is_kraft, 'is_unstable': s.is_unstable,
             'fields': of_struct(m.root)['fields']} for s in schemas for m in s.messages]


def main(args):
    if len(args) >= 1 and args[0] == '--list':
        for path in sorted(args[1:]):
            print(os.path.splitext(os.path.basename(path))[0])
        return 0
    try:
        if len(args) >= 2 and args[0] == '--json':
            json.dump(as_json([parse_file(path) for path in sorted(args[1:])]), sys.stdout)
            return 0
        if len(args) < 4 or args[0] != '--out':
            print(__doc__, file=sys.stderr)
            return 2
        paths = sorted(path for path in args[2:] if path.endswith('.msg'))
        tables = [path for path in args[2:] if path.endswith('.tsv')]
        schemas = [parse_file(path) for path in paths]
        check_names(schemas)
        apis = check_apis(schemas)
        errors = read_errors(tables[0])
    except Mistake as mistake:
        print(mistake, file=sys.stderr)
        return 1
    os.makedirs(args[1], exist_ok=True)
    for schema in schemas:
        write_changed(os.path.join(args[1], schema.base + '.h'), header_text(schema))
        write_changed(os.path.join(args[1], schema.base + '.c'), source_text(schema))
    write_changed(os.path.join(args[1], 'protocol.h'), protocol_header(apis, schemas, errors))
    write_changed(os.path.join(args[1], 'protocol.c'), protocol_source(apis, schemas, errors))
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
