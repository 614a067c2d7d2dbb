"""C++ text as lab/tidy sees it: comments and strings blanked, scopes told apart."""

import re

TOKENS = re.compile(
    r'//[^\n]*|/\*.*?\*/'
    r'|R"(?P<raw>[^(\s]*)\(.*?\)(?P=raw)"'
    r'|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9A-Za-z_])'(?:\\.|[^'\\\n])+'",
    re.S)


def blanked(text, keep_comments=False):
    """The same text, line for line, with the insides of comments and strings made blank."""
    def blank(match):
        found = match.group(0)
        comment = found.startswith('/')
        if comment and keep_comments:
            return found
        newlines = found.count('\n')
        if comment:
            return ' ' + '\n' * newlines
        return '""' + '\n' * newlines
    return TOKENS.sub(blank, text)


PREPROCESSOR = re.compile(r'^[ \t]*#(?:[^\n]*\\\n)*[^\n]*', re.M)


def without_preprocessor(code):
    return PREPROCESSOR.sub(lambda m: '\n' * m.group(0).count('\n'), code)


class Scope:
    """One pair of braces: kind is namespace, type, function, block or init."""

    def __init__(self, kind, head, line):
        self.kind = kind
        self.head = head      # the text before the brace, blanks joined
        self.line = line      # where that text begins
        self.end = line


class Statement:
    """A declaration or statement up to its ';' or '{', with the scopes around it."""

    def __init__(self, text, line, scopes, opens):
        self.text = text
        self.line = line
        self.scopes = scopes  # outermost first
        self.opens = opens    # ended by '{' that opens a type, function or namespace

    def inside(self):
        return self.scopes[-1].kind if self.scopes else 'namespace'


BLOCK_HEAD = re.compile(r'^(?:else|if|for|while|switch|do|try|catch|case|default)\b'
                        r'|[)\]:]$|\)\s*(?:mutable|noexcept|->.*)$|^$')
TYPE_HEAD = re.compile(r'^(?:typedef\s+)?(?:class|struct|union|enum)\b')
ACCESS = re.compile(r'^(?:(?:public|private|protected)\s*:\s*)+')


def brace_kind(head, outer):
    """What a '{' after `head` opens, inside a scope of kind `outer`."""
    if outer == 'init':
        return 'init'
    if outer in ('function', 'block'):
        if BLOCK_HEAD.search(head):
            return 'block'
        return 'type' if TYPE_HEAD.match(head) and '(' not in head else 'init'
    if re.match(r'^(?:inline\s+)?namespace\b|^extern ""', head):
        return 'namespace'
    bare = re.sub(r'^template\s*<.*?>\s*(?=(?:class|struct|union)\b)', '', head)
    if TYPE_HEAD.match(bare) and '(' not in bare:
        return 'type'
    signature = re.sub(r'operator\s*(?:\(\)|[=!<>+\-*/%&|^~\[\]]+)', 'operator', head)
    if re.search(r'(?<![=!<>])=(?!=)', signature.split('(')[0]) or ')' not in signature:
        return 'init' if head else 'function'
    return 'function'


class Walker:
    """Cuts blanked code without preprocessor lines into scopes and statements."""

    def __init__(self, code):
        self.code = code
        self.scopes = []      # every Scope, closed ones too
        self.statements = []
        self.stack = []
        self.pieces = []      # text of the statement so far
        self.start = None     # its first line
        self.parens = 0
        self.line = 1
        self.walk()

    def walk(self):
        for match in re.finditer(r'[{}();\n]|[^{}();\n]+', self.code):
            token = match.group(0)
            if token == '\n':
                self.line += 1
                self.pieces.append(' ')
            elif token == '{':
                self.open_brace()
            elif token == '}':
                self.close_brace()
            elif token == ';' and self.parens == 0:
                self.finish(opens=False)
            else:
                self.parens += (token == '(') - (token == ')' and self.parens > 0)
                if self.start is None and token.strip():
                    self.start = self.line
                self.pieces.append(token)

    def head(self):
        text = ' '.join(''.join(self.pieces).split())
        return ACCESS.sub('', text)

    def finish(self, opens):
        text = self.head()
        if text:
            self.statements.append(
                Statement(text, self.start or self.line, list(self.stack), opens))
        self.pieces, self.start = [], None

    def open_brace(self):
        head = self.head()
        outer = self.stack[-1].kind if self.stack else 'namespace'
        kind = brace_kind(head, outer)
        if self.parens > 0 and kind != 'init':
            kind = 'block' if outer in ('function', 'block') else 'init'
        scope = Scope(kind, head, self.start or self.line)
        scope.parens = self.parens
        scope.resumed = None
        if kind == 'init' or self.parens > 0:
            scope.resumed = (self.pieces + [' {} '], self.start)
            self.pieces, self.start = [], None
        else:
            self.finish(opens=True)
        self.parens = 0
        self.scopes.append(scope)
        self.stack.append(scope)

    def close_brace(self):
        self.finish(opens=False)
        if not self.stack:
            return
        scope = self.stack.pop()
        scope.end = self.line
        self.parens = scope.parens
        if scope.resumed:
            self.pieces, self.start = scope.resumed
