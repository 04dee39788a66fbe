//! What a condition may hold, judged on its tree before any device is there.

use super::{AT_LEAST, LANGUAGE, meant};
use crate::profile::template::{Asks, NO_PARAMETER, parameter};
use crate::profile::words::{DEVICE, DEVICE_TAGS, PARTS, VARIABLES};
use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr, SourceInfo};
use cel::{Context, Value};
use std::sync::Arc;

/// The functions, but for those that are operators.
const FUNCTIONS: [&str; 10] = [
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "int",
    "double",
    "string",
    AT_LEAST,
    "known",
];
/// The macros, which are no calls any more when they come here.
const MACROS: [&str; 6] = ["has", "all", "exists", "exists_one", "map", "filter"];
/// Most loops (`exists`, `all`, `filter`, `map`) of one condition, and how deep they nest: each goes
/// over a list of at most 64 entries.
const LOOPS_MAX: usize = 4;
const NESTED_MAX: usize = 2;
/// Most additions: each may add the longest text once.
const ADDITIONS_MAX: usize = 16;

/// Judges a condition, and puts variables in the place of readings: `@known0` for the first.
pub(super) fn check(
    expression: &mut IdedExpr,
    source: &SourceInfo,
) -> Result<Asks, Vec<(u32, String)>> {
    let mut check = Check {
        source,
        asks: Asks::default(),
        own: Vec::new(),
        loops: 0,
        nested: 0,
        additions: 0,
        faults: Vec::new(),
    };
    check.expression(expression);
    if check.faults.is_empty() { Ok(check.asks) } else { Err(check.faults) }
}

struct Check<'s> {
    source: &'s SourceInfo,
    asks: Asks,
    /// The names that loops give.
    own: Vec<String>,
    loops: usize,
    nested: usize,
    additions: usize,
    faults: Vec<(u32, String)>,
}

impl Check<'_> {
    fn refuse(&mut self, id: u64, message: impl Into<String>) {
        let start = self.source.offset_for(id).map_or(0, |(start, _)| start as usize);
        let before = self.source.source.chars().take(start).filter(|it| *it == '\n').count();
        self.faults.push((u32::try_from(before).unwrap_or_default(), message.into()));
    }

    fn expression(&mut self, it: &mut IdedExpr) {
        let id = it.id;
        match &mut it.expr {
            Expr::Unspecified | Expr::Literal(_) => {}
            Expr::Ident(name) => {
                let name = name.clone();
                self.variable(id, &name);
            }
            Expr::Select(select) => self.select(id, select),
            Expr::Call(call) => {
                if let Some(replaced) = self.call(id, call) {
                    it.expr = replaced;
                }
            }
            Expr::List(list) => list.elements.iter_mut().for_each(|it| self.expression(it)),
            Expr::Comprehension(inner) => {
                self.loops += 1;
                self.nested += 1;
                if self.loops == LOOPS_MAX + 1 || self.nested == NESTED_MAX + 1 {
                    let message = format!(
                        "has more than {LOOPS_MAX} loops, or more than {NESTED_MAX} nested"
                    );
                    self.refuse(id, message);
                }
                self.expression(&mut inner.iter_range);
                let before = self.own.len();
                self.own.push(inner.iter_var.clone());
                self.own.extend(inner.iter_var2.clone());
                self.own.push(inner.accu_var.clone());
                let inner = &mut **inner;
                for part in [&mut inner.accu_init, &mut inner.loop_cond, &mut inner.loop_step] {
                    self.expression(part);
                }
                self.expression(&mut inner.result);
                self.own.truncate(before);
                self.nested -= 1;
            }
            Expr::Map(map) => {
                self.refuse(id, "there are no objects in conditions");
                for entry in &mut map.entries {
                    if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                        self.expression(&mut entry.value);
                    }
                }
            }
            Expr::Struct(_) => self.refuse(id, "there are no objects in conditions"),
        }
    }

    fn variable(&mut self, id: u64, name: &str) {
        if self.own.iter().any(|it| it == name) {
            return;
        }
        if !VARIABLES.contains(&name) {
            let near = meant(name, &VARIABLES);
            return self.refuse(id, format!("there is no variable `{name}`{near}"));
        }
        self.asks.equipment |= name == "equipment";
        self.asks.tenant |= name == "tenant";
    }

    fn select(&mut self, id: u64, select: &mut SelectExpr) {
        let is_own = |name: &str| self.own.iter().any(|it| it == name);
        let known = match &select.operand.expr {
            Expr::Ident(name) if name == "device" && !is_own(name) => {
                Some(("device", [&DEVICE[..], &[DEVICE_TAGS]].concat()))
            }
            Expr::Select(outer) => match &outer.operand.expr {
                Expr::Ident(name) if name == "equipment" && !is_own(name) => {
                    let part = PARTS.iter().find(|(part, _)| *part == outer.field);
                    part.map(|(part, fields)| (*part, fields.to_vec()))
                }
                _ => None,
            },
            _ => None,
        };
        if let Some((whole, fields)) = known
            && !fields.contains(&select.field.as_str())
        {
            let near = meant(&select.field, &fields);
            self.refuse(id, format!("`{whole}` has no `{}`{near}", select.field));
        }
        self.expression(&mut select.operand);
    }

    /// Judges a call; gives what it is replaced with.
    fn call(&mut self, id: u64, call: &mut CallExpr) -> Option<Expr> {
        let name = call.func_name.clone();
        let is_operator = name.starts_with(['_', '!', '-', '@']);
        if !is_operator && !FUNCTIONS.contains(&name.as_str()) {
            let all = [&FUNCTIONS[..], &MACROS[..]].concat();
            let near = meant(&name, &all);
            self.refuse(id, format!("there is no function `{name}`{near}"));
        }
        if name == "_+_" {
            self.additions += 1;
            if self.additions == ADDITIONS_MAX + 1 {
                self.refuse(id, format!("adds more than {ADDITIONS_MAX} times"));
            }
        }
        if name == "known" {
            return match call.args.as_slice() {
                [only] if call.target.is_none() => self.known(id, only),
                _ => {
                    self.refuse(id, NO_PARAMETER);
                    None
                }
            };
        }
        if name == "matches" {
            self.pattern(id, call);
        }
        call.target.iter_mut().for_each(|it| self.expression(it));
        call.args.iter_mut().for_each(|it| self.expression(it));
        None
    }

    fn known(&mut self, id: u64, argument: &IdedExpr) -> Option<Expr> {
        let path = match &argument.expr {
            Expr::Literal(LiteralValue::String(text)) => parameter(text.inner()),
            _ => None,
        };
        let Some(path) = path else {
            self.refuse(id, NO_PARAMETER);
            return None;
        };
        self.asks.known.push(path);
        Some(Expr::Ident(format!("@known{}", self.asks.known.len() - 1)))
    }

    /// A regular expression is compiled when it is used: one that cannot be is a fault of the file.
    fn pattern(&mut self, id: u64, call: &CallExpr) {
        let Some(IdedExpr { expr: pattern @ Expr::Literal(LiteralValue::String(_)), .. }) =
            call.args.last()
        else {
            return self.refuse(id, "`matches` takes a regular expression in quotes");
        };
        let string = |expr: Expr| IdedExpr { id: 0, expr };
        let trial = CallExpr {
            func_name: "matches".to_owned(),
            target: Some(Box::new(string(pattern.clone()))),
            args: vec![string(pattern.clone())],
        };
        let context = Context::with_env(Arc::clone(&LANGUAGE));
        if Value::resolve_val(&string(Expr::Call(trial)), &context).is_err() {
            self.refuse(id, "the regular expression of `matches` cannot be read");
        }
    }
}
