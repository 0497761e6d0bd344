//! Python source as validators look at it: by its syntax tree, without running it.

use std::thread;

use ruff_python_ast::comparable::ComparableMod;
use ruff_python_ast::visitor::transformer::{self, Transformer};
use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{
    BytesLiteral, BytesLiteralFlags, BytesLiteralValue, ElifElseClause, Expr, ExprAttribute, Mod, Parameters,
    PythonVersion, Stmt, StmtClassDef, StmtFunctionDef, StringLiteral, StringLiteralValue,
};
use ruff_python_parser::{Mode, ParseOptions, parse_unchecked};

/// The most bytes of source that are read; validators read no larger `miner.py`.
pub const MAX_BYTES: usize = 1 << 20;

/// The Python that validators run.
const PYTHON: PythonVersion = PythonVersion::PY312;

/// The most words and signs of one expression without a comma. Python gives up on less.
const MAX_NESTING: usize = 10_000;

/// Room for an expression of [`MAX_NESTING`], in bytes; only what is used is taken.
const STACK: usize = 256 << 20;

/// Why source cannot be looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    /// Python refuses it.
    #[error("line {line}: {message}")]
    Syntax {
        /// From 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// An expression is nested so deeply that Python gives up on it.
    #[error("line {0}: an expression is nested too deeply")]
    TooDeep(usize),
    /// There is more of it than validators read.
    #[error("it has {0} bytes, and {MAX_BYTES} are read at most")]
    TooLarge(usize),
    /// This machine cannot spare the room to read it.
    #[error("no thread could be started to read it: {0}")]
    NoThread(String),
}

/// What a validator's scan refuses in source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// `import x` of this root.
    Import(String),
    /// A call by this name.
    Call(String),
}

/// What there is to say about a `miner.py`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Module {
    /// What the scan refuses, by line.
    pub(super) refused: Vec<(usize, Refused)>,
    /// The roots of all imports, by line; empty for a relative one.
    pub(super) imports: Vec<(usize, String)>,
    /// The last class of this name.
    pub(super) miner: Option<Class>,
}

/// The class `Miner`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Class {
    pub(super) line: usize,
    /// Whether methods may come from elsewhere.
    pub(super) inherits: bool,
    pub(super) constructor: Option<Function>,
    pub(super) predict_batch: Option<Function>,
}

/// A method.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Function {
    pub(super) line: usize,
    pub(super) is_async: bool,
    /// Whether something may give it another signature.
    pub(super) decorated: bool,
    /// The names of its parameters, `self` and those behind stars included.
    pub(super) names: Vec<String>,
    /// Those without a default that a call has to fill, `self` aside.
    pub(super) required: Vec<String>,
    /// Whether a call may pass one by position, `self` aside.
    pub(super) takes_position: bool,
}

/// Whether two programs are the same to Python but for where things stand: `ast.dump(ast.parse(…))` of both is equal.
/// Comments, blank lines, quotes and the spelling of numbers make no difference.
///
/// # Errors
/// Where one of them is no program.
pub fn same_program(a: &str, b: &str) -> Result<bool, SyntaxError> {
    on_a_deep_stack(|| {
        let (a, b) = (normalised(a)?, normalised(b)?);
        Ok(ComparableMod::from(&a) == ComparableMod::from(&b) && marks(&a) == marks(&b))
    })
}

/// Looks through a `miner.py`.
pub(super) fn look(source: &str) -> Result<Module, SyntaxError> {
    on_a_deep_stack(|| {
        let tree = parse(source)?;
        let mut scan = Scan { source, module: Module::default() };
        let Mod::Module(module) = &tree else { return Ok(Module::default()) };
        scan.visit_body(&module.body);
        for statement in &module.body {
            if let Stmt::ClassDef(class) = statement
                && class.name.as_str() == "Miner"
            {
                scan.module.miner = Some(scan.class(class));
            }
        }
        Ok(scan.module)
    })
}

/// The parser, and everything that walks its tree, goes as deep as the source does.
fn on_a_deep_stack<T: Send>(work: impl FnOnce() -> Result<T, SyntaxError> + Send) -> Result<T, SyntaxError> {
    thread::scope(|scope| {
        let worker = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
        let worker = worker.map_err(|error| SyntaxError::NoThread(error.to_string()))?;
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn parse(source: &str) -> Result<Mod, SyntaxError> {
    if source.len() > MAX_BYTES {
        return Err(SyntaxError::TooLarge(source.len()));
    }
    let syntax = |at: usize, message: String| SyntaxError::Syntax { line: line_of(source, at), message };
    if source.starts_with('\u{feff}') {
        return Err(syntax(0, "a byte order mark at the beginning; save the file without it".to_owned()));
    }
    if let Some(at) = source.find('\0') {
        return Err(syntax(at, "a null byte".to_owned()));
    }
    if let Some(at) = too_deep(source) {
        return Err(SyntaxError::TooDeep(line_of(source, at)));
    }
    let parsed = parse_unchecked(source, ParseOptions::from(Mode::Module).with_target_version(PYTHON));
    if let Some(error) = parsed.errors().first() {
        return Err(syntax(error.location.start().to_usize(), error.error.to_string()));
    }
    if let Some(error) = parsed.unsupported_syntax_errors().first() {
        return Err(syntax(error.range.start().to_usize(), error.to_string()));
    }
    Ok(parsed.into_syntax())
}

/// The line of a byte, from 1.
fn line_of(source: &str, at: usize) -> usize {
    1 + source.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// Where an expression has too many words and signs to be parsed level by level. A string counts as one word; a comma, a
/// semicolon or a line's end begins anew, but brackets that are open go on counting.
fn too_deep(source: &str) -> Option<usize> {
    let bytes = source.as_bytes();
    // The counts of all open brackets, and their sum.
    let (mut levels, mut sum) = (vec![0_usize], 0);
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let start = at;
        at += 1;
        let mut begins_anew = false;
        match byte {
            b'#' => at = source[at..].find('\n').map_or(bytes.len(), |end| at + end),
            b'\'' | b'"' => at = end_of_string(bytes, start),
            b'\\' => at += usize::from(bytes.get(at) == Some(&b'\n')),
            b'\n' => begins_anew = levels.len() == 1,
            b',' | b';' => begins_anew = true,
            b' ' | b'\t' | b'\r' => continue,
            _ if is_word(byte) => {
                at = bytes[at..].iter().position(|b| !is_word(*b)).map_or(bytes.len(), |n| at + n)
            }
            _ => {}
        }
        let top = levels.last_mut()?;
        if begins_anew {
            sum -= *top;
            *top = 0;
            continue;
        }
        *top += 1;
        sum += 1;
        match byte {
            b'(' | b'[' | b'{' => levels.push(0),
            b')' | b']' | b'}' if levels.len() > 1 => sum -= levels.pop()?,
            _ => {}
        }
        if sum > MAX_NESTING {
            return Some(start);
        }
    }
    None
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Behind the string that begins here; a plain one ends with its line at the latest.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let quote = bytes[start];
    let triple = bytes[start..].starts_with(&[quote; 3]);
    let mut at = start + if triple { 3 } else { 1 };
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            b'\n' if !triple => return at,
            _ if byte == quote && !triple => return at + 1,
            _ if byte == quote && bytes[at..].starts_with(&[quote; 3]) => return at + 3,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// A program in the form in which Python keeps it.
fn normalised(source: &str) -> Result<Mod, SyntaxError> {
    let mut tree = parse(source)?;
    if let Mod::Module(module) = &mut tree {
        module.body.iter_mut().for_each(|statement| Normaliser.visit_stmt(statement));
    }
    Ok(tree)
}

/// Python knows no `elif` and no strings side by side; its tree has an `if` in the `else` and one string.
struct Normaliser;

impl Transformer for Normaliser {
    fn visit_stmt(&self, statement: &mut Stmt) {
        if let Stmt::If(one) = statement {
            while let Some(inner) = one.elif_else_clauses.last_mut().and_then(only_if) {
                one.elif_else_clauses.pop();
                one.elif_else_clauses.push(ElifElseClause {
                    range: inner.range,
                    node_index: inner.node_index,
                    test: Some(*inner.test),
                    body: inner.body,
                });
                one.elif_else_clauses.extend(inner.elif_else_clauses);
            }
        }
        transformer::walk_stmt(self, statement);
    }

    fn visit_expr(&self, expression: &mut Expr) {
        match expression {
            Expr::StringLiteral(one) if one.value.is_implicit_concatenated() => {
                let whole = StringLiteral {
                    range: one.range,
                    node_index: one.node_index.clone(),
                    value: one.value.to_str().into(),
                    flags: one.value.first_literal_flags(),
                };
                one.value = StringLiteralValue::single(whole);
            }
            Expr::BytesLiteral(one) if one.value.is_implicit_concatenated() => {
                let whole = BytesLiteral {
                    range: one.range,
                    node_index: one.node_index.clone(),
                    value: one.value.bytes().collect(),
                    flags: BytesLiteralFlags::empty(),
                };
                one.value = BytesLiteralValue::single(whole);
            }
            _ => {}
        }
        transformer::walk_expr(self, expression);
    }
}

/// The `if` that is all of an `else`.
fn only_if(clause: &mut ElifElseClause) -> Option<ruff_python_ast::StmtIf> {
    match (&clause.test, clause.body.as_slice()) {
        (None, [Stmt::If(_)]) => match clause.body.pop() {
            Some(Stmt::If(inner)) => Some(inner),
            _ => None,
        },
        _ => None,
    }
}

/// Which strings have a `u` in front, in order: Python keeps that, the comparison does not.
fn marks(tree: &Mod) -> Vec<bool> {
    struct Marks(Vec<bool>);
    impl<'a> Visitor<'a> for Marks {
        fn visit_expr(&mut self, expression: &'a Expr) {
            if let Expr::StringLiteral(one) = expression {
                self.0.push(one.value.first_literal_flags().prefix().is_unicode());
            }
            visitor::walk_expr(self, expression);
        }
    }
    let mut marks = Marks(Vec::new());
    if let Mod::Module(module) = tree {
        marks.visit_body(&module.body);
    }
    marks.0
}

struct Scan<'s> {
    source: &'s str,
    module: Module,
}

impl Scan<'_> {
    fn line(&self, at: usize) -> usize {
        line_of(self.source, at)
    }

    fn import(&mut self, at: usize, name: &str) {
        let line = self.line(at);
        let root = name.split('.').next().unwrap_or_default().to_owned();
        if super::FORBIDDEN_IMPORTS.contains(&root.as_str()) {
            self.module.refused.push((line, Refused::Import(root.clone())));
        }
        self.module.imports.push((line, root));
    }

    fn class(&self, class: &StmtClassDef) -> Class {
        let is_object = |base: &Expr| matches!(base, Expr::Name(name) if name.id.as_str() == "object");
        let arguments = class.arguments.as_deref();
        let inherits = arguments
            .is_some_and(|all| !all.keywords.is_empty() || all.args.iter().any(|base| !is_object(base)));
        let mut found = Class {
            line: self.line(class.range.start().to_usize()),
            inherits: inherits || !class.decorator_list.is_empty(),
            constructor: None,
            predict_batch: None,
        };
        for statement in &class.body {
            if let Stmt::FunctionDef(function) = statement {
                match function.name.as_str() {
                    "__init__" => found.constructor = Some(self.function(function)),
                    "predict_batch" => found.predict_batch = Some(self.function(function)),
                    _ => {}
                }
            }
        }
        found
    }

    fn function(&self, function: &StmtFunctionDef) -> Function {
        let parameters: &Parameters = &function.parameters;
        let by_position = || parameters.posonlyargs.iter().chain(&parameters.args);
        let names = parameters.iter().map(|parameter| parameter.name().to_string());
        let required = by_position()
            .skip(1)
            .chain(&parameters.kwonlyargs)
            .filter(|parameter| parameter.default.is_none())
            .map(|parameter| parameter.parameter.name.to_string());
        Function {
            line: self.line(function.range.start().to_usize()),
            is_async: function.is_async,
            decorated: !function.decorator_list.is_empty(),
            names: names.collect(),
            required: required.collect(),
            takes_position: by_position().count() > 1 || parameters.vararg.is_some(),
        }
    }
}

impl<'a> Visitor<'a> for Scan<'_> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::Import(import) => {
                import
                    .names
                    .iter()
                    .for_each(|alias| self.import(import.range.start().to_usize(), alias.name.as_str()));
            }
            Stmt::ImportFrom(import) => match &import.module {
                // The scan looks at the name only, whether relative or not.
                Some(module) if import.level == 0 => {
                    self.import(import.range.start().to_usize(), module.as_str())
                }
                module => {
                    let line = self.line(import.range.start().to_usize());
                    let root = module.as_ref().and_then(|module| module.as_str().split('.').next());
                    if let Some(root) = root.filter(|root| super::FORBIDDEN_IMPORTS.contains(root)) {
                        self.module.refused.push((line, Refused::Import(root.to_owned())));
                    }
                    self.module.imports.push((line, String::new()));
                }
            },
            _ => {}
        }
        visitor::walk_stmt(self, statement);
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        if let Expr::Call(call) = expression {
            let name = match call.func.as_ref() {
                Expr::Name(name) if super::FORBIDDEN_CALLS.contains(&name.id.as_str()) => {
                    Some(name.id.to_string())
                }
                Expr::Attribute(ExprAttribute { value, attr, .. }) => match value.as_ref() {
                    Expr::Name(owner)
                        if super::FORBIDDEN_METHODS.contains(&(owner.id.as_str(), attr.as_str())) =>
                    {
                        Some(format!("{}.{}", owner.id, attr))
                    }
                    _ => None,
                },
                _ => None,
            };
            if let Some(name) = name {
                let line = self.line(call.range.start().to_usize());
                self.module.refused.push((line, Refused::Call(name)));
            }
        }
        visitor::walk_expr(self, expression);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn same(a: &str, b: &str) -> bool {
        same_program(a, b).unwrap()
    }

    #[test]
    fn how_a_program_is_written_makes_no_difference() {
        for (a, b) in [
            ("x = 5.0", "x=5.00  # five"),
            ("x = 'a'", "\n\nx = \"a\"\r\n"),
            ("x = 1_000", "x = 0x3e8"),
            ("x = 'ab'", "x = 'a' \"b\""),
            ("x = b'ab'", "x = b'a' b'b'"),
            ("x = f'{a}b'", "x = f\"{ a }\" 'b'"),
            ("x = (1, 2)", "x = 1, 2"),
            ("if a:\n  b\nelif c:\n  d\nelse:\n  e", "if a:\n  b\nelse:\n  if c:\n    d\n  else:\n    e"),
            ("from a import (b, c)", "from a import b, c"),
            ("def f():\n  'doc'", "def f():\n    \"\"\"doc\"\"\""),
        ] {
            assert!(same(a, b), "{a:?} and {b:?}");
        }
    }

    #[test]
    fn what_a_program_does_makes_one() {
        for (a, b) in [
            ("x = 5.0", "x = 5"),
            ("x = 'a'", "x = b'a'"),
            ("x = 'a'", "x = u'a'"),
            ("x = f'{a}'", "x = f'{a!r}'"),
            ("x = f'a'", "x = 'a'"),
            ("x = 1", "y = 1"),
            ("f(a, b=1)", "f(a, b=2)"),
            ("x: int = 1", "(x): int = 1"),
            ("def f():\n  'doc'", "def f():\n  'other'"),
            ("if a:\n  b\nelif c:\n  d", "if a:\n  b\nelse:\n  if c:\n    d\n  e"),
        ] {
            assert!(!same(a, b), "{a:?} and {b:?}");
        }
    }

    #[test]
    fn what_python_refuses_is_refused() {
        for (source, line) in
            [("x = (", 1), ("\nx = 1 2", 2), ("a\n  b", 2), ("\u{feff}x = 1", 1), ("x\0", 1)]
        {
            match same_program(source, "") {
                Err(SyntaxError::Syntax { line: found, .. }) => assert_eq!(found, line, "{source:?}"),
                other => panic!("{source:?}: {other:?}"),
            }
        }
        assert_eq!(same_program("", &" ".repeat(MAX_BYTES + 1)), Err(SyntaxError::TooLarge(MAX_BYTES + 1)));
    }

    #[test]
    fn depth_is_an_error_and_no_crash() {
        let much = |text: &str| text.repeat(MAX_BYTES / text.len() - 1);
        for source in [
            much("("),
            much("-"),
            much("not "),
            much("-\\\n"),
            format!("x{}", much(".a")),
            format!("x{}", much("[0]")),
            format!("1{}", much("+1")),
            much("lambda:"),
            much("a if b else "),
            much("f(1,"),
            much("f'{"),
        ] {
            assert!(same_program(&source, "").is_err(), "{:?}…", &source[..12]);
        }
        // As deep as it is let through.
        for source in [
            format!("x = {}1", "-".repeat(MAX_NESTING - 10)),
            format!("x = 1{}", "+1".repeat(MAX_NESTING / 2 - 10)),
            format!("x = {}{}", "(".repeat(150), ")".repeat(150)),
            format!("x = [{}]", "-1, ".repeat(100_000)),
            format!("if a:\n b\n{}", "elif a:\n b\n".repeat(50_000)),
            (0..700).fold(String::new(), |code, depth| code + &" ".repeat(depth) + "if a:\n")
                + &" ".repeat(700)
                + "b",
        ] {
            assert_eq!(same_program(&source, &source), Ok(true), "{:?}…", &source[..12]);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_looked_at_without_panic(text in "[-()\\[\\]{}'\"fu\\\\:=,.#\n a-e01]{0,60}|\\PC{0,30}") {
            let _ = look(&text);
            if let Ok(same) = same_program(&text, &text) {
                prop_assert!(same);
            }
        }
    }
}
