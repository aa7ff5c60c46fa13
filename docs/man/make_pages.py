#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Makes the manual pages of section 3 from the comments of the public headers, so that the two cannot differ.

Usage: make_pages.py FOLDER HEADER...     writes FOLDER/man3/*.3
       make_pages.py --list HEADER...     prints "page symbol" for each call

A call is described by the /** comment before its declaration; declarations that follow without a blank line share the
comment, and the page. Any other form is an error: every exported call must be described.
"""
import pathlib
import re
import sys
from dataclasses import dataclass, field

MARKS = re.compile(r'NORMA_EXPORT|NORMA_MACH_NOEXCEPT|NORMA_MACH_CALL\(\w+\)|__asm__\("\w+"\)|__attribute__\(\(\w+\)\)')


@dataclass
class Call:
    name: str
    symbol: str
    prototype: str


@dataclass
class Page:
    header: str
    text: str
    calls: list = field(default_factory=list)


def uncomment(comment):
    """The lines of a comment without its frame."""
    lines = comment.strip().removeprefix('/**').removeprefix('/*').removesuffix('*/').split('\n')
    return '\n'.join(re.sub(r'^\s*\*? ?', '', line).rstrip() for line in lines).strip()


def call_of(declaration):
    bare = ' '.join(MARKS.sub(' ', declaration).split())
    name = re.search(r'(\w+)\s*\(', bare).group(1)
    bound = re.search(r'NORMA_MACH_CALL\((\w+)\)', declaration)
    named = re.search(r'__asm__\("(\w+)"\)', declaration)
    symbol = f'norma_mach_{bound.group(1)}' if bound else named.group(1) if named else name
    return Call(name, symbol, re.sub(r'\s+;', ';', re.sub(r'\s+\(', '(', bare)))


def pages_of(path):
    """The pages of one header, and what its first comment says of all of them."""
    source = path.read_text()
    if 'extern "C" {' not in source: # structures only
        return [], ''
    start = source.index('extern "C" {')
    about = uncomment(source[:source.index('*/') + 2].replace('SPDX-License-Identifier: BSD-3-Clause', ''))
    header = f'norma/{path.name}'
    body = re.sub(r'^#(?:.*\\\n)*.*$', '#', source[start:], flags=re.M)
    pages, open_page = [], None
    for block in re.finditer(r'(/\*.*?\*/)|(\n[ \t]*\n)|(\{[^{}]*\}[^;]*;)|([A-Za-z_][^;{}#/]*;)', body, re.S):
        comment, gap, _, declaration = block.groups()
        if comment:
            open_page = Page(header, uncomment(comment)) if comment.startswith('/**') else open_page
        elif gap:
            open_page = None
        elif declaration and '(' in declaration and not declaration.lstrip().startswith('typedef'):
            call = call_of(declaration)
            if open_page is None:
                raise SystemExit(f'make_pages: {path}: {call.name} is not described')
            if not open_page.calls:
                pages.append(open_page)
            open_page.calls.append(call)
    return pages, about


def roff(text):
    """Plain text as roff: nothing in it is taken for a request."""
    lines = text.replace('\\', '\\e').replace('-', '\\-').split('\n')
    return '\n'.join('\\&' + line if line.startswith(('.', "'")) else line for line in lines)


def paragraphs(text):
    """Constants and calls stand out."""
    out = re.sub(r'\b(KERN_[A-Z_]+|VM_[A-Z_]+|NORMA_[A-Z_]+|TASK_[A-Z_]+|THREAD_[A-Z_]+|TRUE|FALSE)\b', r'\\fB\1\\fR',
                 roff(text))
    return out.replace('\n\n', '\n.PP\n')


def summary(text):
    first = re.split(r'(?<=[a-z)])[.:;](?:\s|$)', ' '.join(text.split()), maxsplit=1)[0]
    return first[0].lower() + first[1:]


def render(page, about, siblings):
    names = ', '.join(call.name for call in page.calls)
    prototypes = '\n.PP\n'.join(f'.B {roff(call.prototype)}' for call in page.calls)
    status = any(call.prototype.startswith('kern_return_t') for call in page.calls)
    others = [name for name in siblings if name not in {call.name for call in page.calls}]
    parts = [f'.\\" Made from {page.header}. SPDX-License-Identifier: BSD\\-3\\-Clause',
             f'.TH {page.calls[0].name} 3 "" norma "norma Programmer\'s Manual"',
             '.SH NAME', f'{names} \\- {roff(summary(page.text))}',
             '.SH LIBRARY', 'norma library (libnorma, \\-lnorma)',
             '.SH SYNOPSIS', '.nf', f'.B #include <{page.header}>', '.PP', prototypes, '.fi',
             '.SH DESCRIPTION', paragraphs(page.text)]
    if status:
        parts += ['.SH RETURN VALUE',
                  '\\fBKERN_SUCCESS\\fR (0), or one of the values that are named above or here. Outputs are written only '
                  'on success. \\fBnorma_strerror\\fR(3) has the texts.']
    parts += ['.SH NOTES', paragraphs(about)]
    parts += ['.SH SEE ALSO', *(f'.BR {name} (3),' for name in others), '.BR norma (7)']
    return '\n'.join(parts) + '\n'


def main(arguments):
    listing = arguments[:1] == ['--list']
    headers = [pathlib.Path(name) for name in arguments[1:]]
    if not headers:
        raise SystemExit(__doc__)
    folder = pathlib.Path(arguments[0]) / 'man3'
    if not listing:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob('*.3'):
            old.unlink()
    for header in headers:
        pages, about = pages_of(header)
        for at, page in enumerate(pages):
            near = [call.name for other in pages[max(0, at - 3):at + 4] for call in other.calls]
            for number, call in enumerate(page.calls):
                if listing:
                    print(call.name, call.symbol)
                    continue
                text = render(page, about, near) if number == 0 else f'.so man3/{page.calls[0].name}.3\n'
                (folder / f'{call.name}.3').write_text(text)


main(sys.argv[1:])
