"""Plants one violation of each rule in a small tree and expects exactly that rule to fire."""

import importlib.machinery
import importlib.util
import os
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
LOADER = importlib.machinery.SourceFileLoader('tidy', os.path.join(HERE, 'tidy'))
SPEC = importlib.util.spec_from_loader('tidy', LOADER)
tidy = importlib.util.module_from_spec(SPEC)
LOADER.exec_module(tidy)

SLEEP = 'time' + '.sleep'  # apart, so that this file does not break the rule
TABLE = 'base:\nplan: base\nserve: base plan/plan.h\napps: *\nlab: *\nvendor sqlite3.h: base\n'

CLEAN = {
    'base/CMakeLists.txt': 'gantry_room(base\n  SOURCES a.cc\n  TESTS a_test.cc)\n',
    'base/a.h': '// A.\n#pragma once\nnamespace gantry {\n[[nodiscard]] Result<int> a(int x);\n}\n',
    'base/a.cc': '// A.\n#include "base/a.h"\nnamespace gantry {\nint f() { return 1; }\n}\n',
    'base/a_test.cc': '// Tests of a.\n#include "base/a.h"\nTEST(A, Works) {\n  f();\n}\n',
    'plan/CMakeLists.txt': 'gantry_room(plan\n  SOURCES plan.cc\n  LINKS base\n'
                           '  TESTS plan_test.cc)\n',
    'plan/plan.h': '// Plan.\n#pragma once\n#include "base/a.h"\n',
    'plan/plan.cc': '// Plan.\n#include "plan/plan.h"\n#include "base/a.h"\n',
    'plan/plan_test.cc': '// Tests.\n#include "plan/plan.h"\n',
    'apps/main.cc': '// Main.\n#include "plan/plan.h"\nint main() { printf("x"); }\n',
    'lab/go.sh': '#!/bin/sh\n# Goes.\necho go\n',
    'lab/test_go.py': '"""Tests of go."""\nimport time\nwhile not f():\n    ' + SLEEP + '(0.01)\n',
}
EXCUSED = 'test-beside apps/*.cc: mains\nunbuilt apps/*.cc: built elsewhere\n'


def check(files, exceptions='', clean=True):
    tree = dict(CLEAN) if clean else {}
    tree.update(files)
    with tempfile.TemporaryDirectory() as root:
        for path, text in tree.items():
            full = os.path.join(root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, 'w', encoding='utf-8') as file:
                file.write(text)
        # apps has no CMakeLists.txt here, so only test-beside needs the excuse.
        excused = EXCUSED.split('\n')[0] + '\n' if 'apps/main.cc' in tree else ''
        return tidy.check(root, sorted(tree), TABLE, excused + exceptions)


def source(body):
    return '// A.\n' + body


def header(body):
    return '// A.\n#pragma once\n' + body


LATER = 'TO' + 'DO'
BAD = 'Man' + 'ager'
HOME = '/ho' + 'me/somebody/x'

# rule -> trees that break it and nothing else.
PLANTS = {
    'arrow': [
        {'base/a.cc': source('#include "plan/plan.h"\n')},
        {'base/a.cc': source('#include "a.h"\n')},
        {'serve/CMakeLists.txt': 'gantry_room(serve SOURCES s.cc LINKS base TESTS s_test.cc)\n',
         'serve/s.cc': source('#include "plan/other.h"\n'), 'serve/s_test.cc': source('')},
        {'elsewhere/a.h': header('')},
    ],
    'links': [
        {'plan/CMakeLists.txt': 'gantry_room(plan SOURCES plan.cc LINKS base serve\n'
                                'TESTS plan_test.cc)\n'},
        {'plan/CMakeLists.txt': 'gantry_room(plan SOURCES plan.cc TESTS plan_test.cc)\n'},
    ],
    'vendor': [
        {'plan/plan.cc': source('#include <sqlite3.h>\n')},
        {'apps/main.cc': source('#include "sqlite3.h"\n')},
    ],
    'unbuilt': [
        {'plan/b.cc': source(''), 'plan/b_test.cc': source(''),
         'plan/CMakeLists.txt': 'gantry_room(plan SOURCES plan.cc b.cc LINKS base\n'
                                'TESTS plan_test.cc)\n'},
    ],
    'function-length': [
        {'base/a.cc': source('int f() {\n' + '  g();\n' * 69 + '}\n')},
        {'base/a.cc': source('class A {\n  int f(int x) const {\n' + '\n' * 69 + '  }\n};\n')},
        {'base/a_test.cc': source('TEST(A, B) {\n' + '  g();\n' * 69 + '}\n')},
        {'base/a.cc': source('A::A(int x) : x_(x),\n  y_(2) {\n' + '  g();\n' * 68 + '}\n')},
        {'base/a.cc': source('A& operator=(A x) {\n' + '  g();\n' * 69 + '}\n')},
    ],
    'file-length': [
        {'base/a.cc': source('int x();\n' * 800)},
        {'lab/go.sh': '# Goes.\n' + 'go\n' * 800},
        {'lab/go.py': '"""Goes."""\n' + 'go()\n' * 800},
    ],
    'header-length': [{'base/a.h': header('int x();\n' * 159)}],
    'line-length': [
        {'base/a.cc': source('//' + 'x' * 99 + '\n')},
        {'lab/go.py': '"""Goes."""\n#' + 'x' * 100 + '\n'},
        {'lab/go': '#!/usr/bin/env python3\n"""Goes."""\n#' + 'x' * 100 + '\n'},
        {'base/CMakeLists.txt': CLEAN['base/CMakeLists.txt'] + '#' * 101 + '\n'},
    ],
    'shared-ptr': [
        {'base/a.cc': source('std::shared_ptr<int> f();\n')},
        {'base/a.cc': source('auto f() { return std::make_shared<int>(1); }\n')},
    ],
    'using-namespace': [{'base/a.h': header('using namespace std;\n')}],
    'mutable-static': [
        {'base/a.cc': source('int g_count = 0;\n')},
        {'base/a.cc': source('namespace {\nstd::atomic<bool> stop{false};\n}\n')},
        {'base/a.cc': source('namespace gantry {\nstatic std::map<int, A> m;\n}\n')},
        {'base/a.cc': source('int f() {\n  static int n = 0;\n  return n;\n}\n')},
        {'base/a.cc': source('int f() {\n  static A a{1};\n  return 1;\n}\n')},
        {'base/a.cc': source('int f() {\n  thread_local int n;\n  return n;\n}\n')},
        {'base/a.cc': source('class A {\n  static int n_;\n};\n')},
        {'base/a.h': header('inline int g_x = 1;\n')},
    ],
    'raw-new': [
        {'base/a.cc': source('int* f() { return new int; }\n')},
        {'base/a.cc': source('void f(int* x) { delete x; }\n')},
    ],
    'print': [
        {'base/a.cc': source('void f() { printf("x"); }\n')},
        {'base/a.cc': source('void f() { std::cout << 1; }\n')},
        {'base/a.cc': source('void f() { std::fprintf(stderr, "x"); }\n')},
    ],
    'swallow': [
        {'base/a.cc': source('void f() {\n  try { g(); } catch (...) { h(); }\n}\n')},
        {'base/a.cc': source('void f() {\n  try { g(); } catch (const E&) {}\n}\n')},
    ],
    'throw': [{'base/a.cc': source('void f() { throw 1; }\n')}],
    'sleep': [
        {'base/a_test.cc': source('TEST(A, B) {\n  std::this_thread::sleep_for(1s);\n}\n')},
        {'base/a_test.cc': source('TEST(A, B) {\n  usleep(1);\n}\n')},
        {'lab/test_go.py': '"""Tests."""\nimport time\ndef f():\n    ' + SLEEP + '(1)\n'},
    ],
    'todo': [
        {'base/a.cc': source(f'// {LATER}: later\n')},
        {'docs/a.md': f'{LATER}\n'},
    ],
    'name': [
        {'base/a.cc': source(f'class Job{BAD} {{\n}};\n')},
        {'base/a.cc': source('void f(int job_' + 'hel' + 'per);\n')},
        {'lab/go.py': f'"""Goes."""\nclass {BAD}:\n    pass\n'},
        {'plan/ut' + 'il.h': header('')},
    ],
    'nodiscard': [
        {'base/a.h': header('Result<int> f(int x);\n')},
        {'base/a.h': header('class A {\n public:\n  virtual Result<void> f() = 0;\n};\n')},
        {'base/a.h': header('class A {\n  [[nodiscard]] Result<int> f();\n'
                            '  static Result<std::vector<std::pair<int, int>>>\n  g(int);\n};\n')},
        {'base/a.h': header('template <class T>\nResult<T> f(T x) {\n  return x;\n}\n')},
    ],
    'test-beside': [
        {'plan/b.cc': source(''),
         'plan/CMakeLists.txt': 'gantry_room(plan SOURCES plan.cc b.cc LINKS base\n'
                                'TESTS plan_test.cc)\n'},
    ],
    'first-line': [
        {'base/a.cc': '#include "base/a.h"\n'},
        {'base/a.h': '#pragma once\n'},
        {'lab/go.sh': '#!/bin/sh\necho go\n'},
        {'lab/go.py': 'import os\n'},
        {'cmake/x.cmake': 'set(A 1)\n'},
    ],
    'pragma-once': [{'base/a.h': '// A.\nint f();\n'}],
    'machine-path': [
        {'base/a.cc': source(f'const char* const p = "{HOME}";\n')},
        {'docs/a.md': f'See {HOME}.\n'},
        {'lab/go.sh': '# Goes.\ncd /ro' + 'ot\n'},
        {'lab/a.json': '{"p": "/wo' + 'rk/x"}\n'},
    ],
    'trailing-space': [
        {'base/a.cc': source('int f(); \n')},
        {'lab/x.json': '{}\t\n'},
    ],
}

INNOCENT = {
    'words in comments and strings': {'base/a.cc': source(
        '// never shared_ptr, new, throw\nconst char* const s = "throw new printf(";\n'
        'auto r = R"(throw std::cout)";\n'.replace('auto r', 'constexpr auto r'))},
    'a function of 70 lines': {'base/a.cc': source('int f() {\n' + '  g();\n' * 68 + '}\n')},
    'a file of 800 lines': {'base/a.cc': source('int x();\n' * 799)},
    'a header of 160 lines': {'base/a.h': header('int x();\n' * 158)},
    'a line of 100 columns': {'base/a.cc': source('//' + 'é' * 98 + '\n')},
    'constants': {'base/a.cc': source(
        'static const int a = 1;\nconstexpr B b{2};\nconst char* const n[] = {"a", "b"};\n'
        'int f() {\n  static const std::map<int, int> m = {{1, 2}};\n  return 1;\n}\n'
        'namespace {\nstruct A {\n  int x = 0;\n  std::map<int, int> m;\n};\n}\n'
        'static int g(int);\nextern "C" {\nint h();\n}\nenum class E { kA, kB };\n')},
    'new that is owned at once': {'base/a.cc': source(
        'auto f() {\n  return std::unique_ptr<A>(\n      new A(1));\n}\n')},
    'example homes': {'base/a_test.cc': source(
        'const char* const p = "/ho' 'me/u/x /ho' 'me/you/y /ho' 'me/user";\n')},
    'sources that another room builds': {
        'apps/CMakeLists.txt': 'foreach(program main)\n',
        'apps/worker.cc': source('int main() {}\n'),
        'plan/CMakeLists.txt': CLEAN['plan/CMakeLists.txt'] + 'x(${S}/apps/worker.cc)\n'},
    'deleted members': {'base/a.h': header('class A {\n  A(const A&) = delete;\n};\n')},
    'handled exceptions': {'base/a.cc': source(
        'Result<int> f() {\n  try {\n    g();\n  } catch (...) {\n'
        '    return fail(1);\n  }\n}\n')},
    'polling': {'base/a_test.cc': source(
        'TEST(A, B) {\n  while (!f()) {\n    std::this_thread::sleep_for(1ms);\n  }\n'
        '  for (;;) usleep(1);\n  os.sleep(1);\n}\n')},
    'results that are no functions': {'base/a.h': header(
        'class A {\n  Result<int> kept_;\n  std::function<Result<void>(int)> f_;\n'
        '  void g(Result<int> x);\n  using R = Result<int>;\n};\n')},
    'a header of another room': {
        'serve/CMakeLists.txt': 'gantry_room(serve SOURCES s.cc LINKS base TESTS s_test.cc)\n',
        'serve/s.cc': source('#include "plan/plan.h"\n'), 'serve/s_test.cc': source('')},
    'a test that links another room': {
        'base/CMakeLists.txt': 'gantry_room(base SOURCES a.cc TESTS a_test.cc TEST_LINKS plan)\n',
        'base/a_test.cc': source('#include "plan/plan.h"\n')},
    'paths that only look alike': {
        'lab/go.sh': '# Goes.\ncd "$X/' + 'work/y" ./home/x ~/' + 'work/x\n'},
    'test data': {'plan/testdata/x.yaml': f'a: {HOME}\t \n# {LATER}\n'},
    'lambdas and braces': {'base/a.cc': source(
        'void f() {\n  run([&](int x) {\n    static const int y = 1;\n    return A{x, {1}};\n'
        '  });\n  auto g = [] { return 1; };\n  int z = 0;\n}\n'
        'A::A(int x) : x_{x}, y_(1) {\n  int q = 0;\n}\n')},
}


class Planted(unittest.TestCase):
    def test_clean_tree(self):
        self.assertEqual(check({}), [])

    def test_each_rule_fires_alone(self):
        for rule, trees in PLANTS.items():
            for number, tree in enumerate(trees):
                with self.subTest(rule=rule, tree=number):
                    faults = check(tree)
                    if rule == 'unbuilt':  # the tree's one unnamed file is b_test.cc
                        self.assertEqual([f[0] for f in faults], ['plan/b_test.cc'])
                    self.assertEqual({fault[2] for fault in faults}, {rule}, faults)

    def test_every_rule_is_planted(self):
        self.assertEqual(set(PLANTS) | {'exception-unused'}, set(tidy.RULES))

    def test_innocent_trees(self):
        for what, tree in INNOCENT.items():
            with self.subTest(what):
                self.assertEqual(check(tree), [])

    def test_exceptions(self):
        tree = {'base/a.cc': source('void f() { throw 1; }\n')}
        self.assertEqual(check(tree, 'throw base/a.cc: adapter\n'), [])
        unused = check({}, 'throw base/a.cc: adapter\n')
        self.assertEqual([fault[2] for fault in unused], ['exception-unused'])
        self.assertEqual(check({}, 'throw later/a.cc: a room to come\n'), [])
        with self.assertRaises(SystemExit):
            check({}, 'throw base/a.cc\n')

    def test_line_numbers(self):
        faults = check({'base/a.cc': source('/* a\n b */\nvoid f() {\n\n  throw 1;\n}\n')})
        self.assertEqual([fault[:3] for fault in faults], [('base/a.cc', 6, 'throw')])


class Program(unittest.TestCase):
    def run_tidy(self, root):
        return subprocess.run([sys.executable, os.path.join(HERE, 'tidy'), root],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              check=False)

    def test_output_exit_status_and_git(self):
        with tempfile.TemporaryDirectory() as root:
            self.assertEqual(self.run_tidy(root).returncode, 2)
            subprocess.run(['git', 'init', '-q', root], check=True)
            for path, text in {'base/a.h': header('using namespace std;\n'),
                               'build/x.h': 'ignored', '.gitignore': '/build/\n'}.items():
                os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
                with open(os.path.join(root, path), 'w', encoding='utf-8') as file:
                    file.write(text)
            found = self.run_tidy(root)
            self.assertEqual(found.returncode, 1, found.stderr)
            self.assertEqual(found.stdout, 'base/a.h:3: using-namespace: in a header\n')
            os.remove(os.path.join(root, 'base/a.h'))
            self.assertEqual(self.run_tidy(root).returncode, 0)


if __name__ == '__main__':
    unittest.main()
