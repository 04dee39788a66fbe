//! What a template may hold: judged on its tree, before any device is there.
//!
//! Names that do not exist would fail for every device, or only for the one that reaches them at
//! night: they are faults of the file. So is what would let a text grow without a bound that fuel
//! does not count.

use super::TemplateFault;
use super::filters::{FILTERS, TESTS};
use crate::Pattern;
use crate::profile::spelling::meant;
use crate::profile::words::{
    BANDS, DEVICE, DEVICE_TAGS, FUNCTIONS, PARTS, VARIABLES, VLAN, VOIP, WIFI,
};
use minijinja::machinery::{Span, ast};
use model::AliasKind;

/// Most joinings of texts in one template: each may add the longest text once.
const JOININGS_MAX: usize = 64;

/// What a template or a condition asks for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(in crate::profile) struct Asks {
    /// Whether it asks for anything of the equipment.
    pub(in crate::profile) equipment: bool,
    /// Whether it asks for what the operator says of the tenant.
    pub(in crate::profile) tenant: bool,
    /// The parameters whose readings it asks for.
    pub(in crate::profile) known: Vec<Box<str>>,
}

/// Judges a template.
pub(super) fn check(tree: &ast::Stmt<'_>) -> Result<Asks, Vec<TemplateFault>> {
    let mut check = Check::default();
    check.statement(tree);
    if check.faults.is_empty() { Ok(check.asks) } else { Err(check.faults) }
}

#[derive(Default)]
struct Check<'a> {
    asks: Asks,
    /// The names that the template gave itself.
    own: Vec<&'a str>,
    joinings: usize,
    faults: Vec<TemplateFault>,
}

impl<'a> Check<'a> {
    fn refuse(&mut self, span: Span, message: impl Into<String>) {
        let line = u32::from(span.start_line).saturating_sub(1);
        self.faults.push(TemplateFault { line, message: message.into() });
    }

    fn statements(&mut self, all: &[ast::Stmt<'a>]) {
        // A name is known to what stands in the same body behind it.
        let before = self.own.len();
        all.iter().for_each(|it| self.statement(it));
        self.own.truncate(before);
    }

    fn statement(&mut self, statement: &ast::Stmt<'a>) {
        match statement {
            ast::Stmt::Template(it) => self.statements(&it.children),
            ast::Stmt::EmitRaw(_) => {}
            ast::Stmt::EmitExpr(it) => self.expression(&it.expr),
            ast::Stmt::IfCond(it) => {
                self.expression(&it.expr);
                self.statements(&it.true_body);
                self.statements(&it.false_body);
            }
            ast::Stmt::Set(it) => {
                self.kept(&it.expr);
                self.target(&it.target);
            }
            ast::Stmt::ForLoop(it) => {
                self.kept(&it.iter);
                let before = self.own.len();
                self.target(&it.target);
                self.own.push("loop");
                it.filter_expr.iter().for_each(|it| self.expression(it));
                if it.recursive {
                    self.refuse(it.span(), "`recursive` is not of this language");
                }
                self.statements(&it.body);
                self.own.truncate(before);
                self.statements(&it.else_body);
            }
            ast::Stmt::WithBlock(it) => self.foreign(it.span()),
            ast::Stmt::SetBlock(it) => self.foreign(it.span()),
            ast::Stmt::AutoEscape(it) => self.foreign(it.span()),
            ast::Stmt::FilterBlock(it) => self.foreign(it.span()),
            ast::Stmt::Do(it) => self.foreign(it.span()),
            // Those of features that another crate may turn on.
            #[allow(unreachable_patterns, reason = "which there are is for the engine's features")]
            _ => self.foreign(Span::default()),
        }
    }

    fn foreign(&mut self, span: Span) {
        self.refuse(span, "only `if`, `for` and `set` may stand between `{%` and `%}`");
    }

    fn target(&mut self, target: &ast::Expr<'a>) {
        match target {
            ast::Expr::Var(it) => self.own.push(it.id),
            other => self.refuse(other.span(), "a single name must stand here"),
        }
    }

    /// What a name is given. It may be used again and again, so that it must not have grown.
    fn kept(&mut self, value: &ast::Expr<'a>) {
        let before = self.joinings;
        self.expression(value);
        let is_made = match value {
            ast::Expr::List(it) => it.as_const().is_none(),
            _ => holds_list(value),
        };
        if self.joinings > before || is_made {
            let message = "`set` and `for` take what is there: no `~`, no `+`, and no list of \
                           anything but constants";
            self.refuse(value.span(), message);
        }
    }

    fn expression(&mut self, expression: &ast::Expr<'a>) {
        match expression {
            ast::Expr::Const(_) => {}
            ast::Expr::Var(it) => self.variable(it.id, it.span()),
            ast::Expr::Slice(it) => {
                self.expression(&it.expr);
                [&it.start, &it.stop, &it.step]
                    .into_iter()
                    .flatten()
                    .for_each(|it| self.expression(it));
            }
            ast::Expr::UnaryOp(it) => self.expression(&it.expr),
            ast::Expr::BinOp(it) => self.operation(it, it.span()),
            ast::Expr::Compare(it) => {
                self.expression(&it.expr);
                it.ops.iter().for_each(|it| self.expression(&it.expr));
            }
            ast::Expr::IfExpr(it) => {
                self.expression(&it.test_expr);
                self.expression(&it.true_expr);
                it.false_expr.iter().for_each(|it| self.expression(it));
            }
            ast::Expr::Filter(it) => {
                self.named("filter", it.name, &FILTERS, it.span());
                it.expr.iter().for_each(|it| self.expression(it));
                self.arguments(&it.args);
            }
            ast::Expr::Test(it) => {
                self.named("test", it.name, &TESTS, it.span());
                self.expression(&it.expr);
                self.arguments(&it.args);
            }
            ast::Expr::GetAttr(it) => {
                self.field(&it.expr, it.name, it.span());
                self.expression(&it.expr);
            }
            ast::Expr::GetItem(it) => {
                self.expression(&it.expr);
                self.expression(&it.subscript_expr);
            }
            ast::Expr::Call(it) => self.call(it, it.span()),
            ast::Expr::List(it) => it.items.iter().for_each(|it| self.expression(it)),
            ast::Expr::Tuple(it) => self.refuse(it.span(), "there are no tuples: write a list"),
            ast::Expr::Map(it) => self.refuse(it.span(), "there are no objects in templates"),
        }
    }

    fn operation(&mut self, it: &ast::BinOp<'a>, span: Span) {
        match it.op {
            ast::BinOpKind::Mul | ast::BinOpKind::Pow => {
                self.refuse(span, "`*` and `**` are not of this language; the filter `times` is");
            }
            ast::BinOpKind::Add | ast::BinOpKind::Concat => self.joinings += 1,
            _ => {}
        }
        if self.joinings == JOININGS_MAX + 1 {
            self.refuse(span, format!("joins more than {JOININGS_MAX} times"));
        }
        self.expression(&it.left);
        self.expression(&it.right);
    }

    fn arguments(&mut self, all: &[ast::CallArg<'a>]) {
        for argument in all {
            match argument {
                ast::CallArg::Pos(it) | ast::CallArg::Kwarg(_, it) => self.expression(it),
                ast::CallArg::PosSplat(it) | ast::CallArg::KwargSplat(it) => {
                    self.refuse(it.span(), "`*` before an argument is not of this language");
                }
            }
        }
    }

    fn named(&mut self, what: &str, name: &str, all: &[&str], span: Span) {
        if !all.contains(&name) {
            self.refuse(span, format!("there is no {what} `{name}`{}", meant(name, all)));
        }
    }

    fn variable(&mut self, name: &str, span: Span) {
        if self.own.contains(&name) {
            return;
        }
        if FUNCTIONS.contains(&name) {
            return self.refuse(span, format!("`{name}` is a function: `{name}(…)`"));
        }
        if !VARIABLES.contains(&name) {
            let mut all = VARIABLES.to_vec();
            all.extend(FUNCTIONS);
            let near = meant(name, &all);
            return self.refuse(span, format!("there is no variable `{name}`{near}"));
        }
        self.asks.equipment |= name == "equipment";
        self.asks.tenant |= name == "tenant";
    }

    fn field(&mut self, of: &ast::Expr<'a>, name: &str, span: Span) {
        let known: (&str, Vec<&str>) = match of {
            ast::Expr::Var(it) if it.id == "device" && !self.own.contains(&it.id) => {
                ("device", [&DEVICE[..], &[DEVICE_TAGS]].concat())
            }
            ast::Expr::Call(call) => match call.identify_call() {
                ast::CallType::Function("wifi") => ("wifi(…)", WIFI.to_vec()),
                ast::CallType::Function("voip") => ("voip(…)", VOIP.to_vec()),
                ast::CallType::Function("vlan") => ("vlan(…)", VLAN.to_vec()),
                _ => return,
            },
            ast::Expr::GetAttr(outer) if matches!(&outer.expr, ast::Expr::Var(it) if it.id == "equipment") => {
                match PARTS.iter().find(|(part, _)| *part == outer.name) {
                    Some((part, fields)) => (part, fields.to_vec()),
                    None => return,
                }
            }
            _ => return,
        };
        let (whole, fields) = known;
        if !fields.contains(&name) {
            self.refuse(span, format!("`{whole}` has no `{name}`{}", meant(name, &fields)));
        }
    }

    fn call(&mut self, call: &ast::Call<'a>, span: Span) {
        self.arguments(&call.args);
        let name = match call.identify_call() {
            ast::CallType::Function(name) if FUNCTIONS.contains(&name) => name,
            ast::CallType::Function(name) => {
                let near = meant(name, &FUNCTIONS);
                return self.refuse(span, format!("there is no function `{name}`{near}"));
            }
            _ => return self.refuse(span, "nothing has methods here: there are filters"),
        };
        let [ast::CallArg::Pos(argument)] = call.args.as_slice() else {
            return self.refuse(span, format!("`{name}` takes one argument"));
        };
        let constant = match argument {
            ast::Expr::Const(it) => Some(&it.value),
            _ => None,
        };
        let text = constant.and_then(|it| it.as_str());
        self.asks.equipment |= matches!(name, "wifi" | "voip" | "vlan");
        match name {
            "wifi" if text.is_some_and(|it| !BANDS.contains(&it)) => {
                let near = meant(text.unwrap_or_default(), &BANDS);
                self.refuse(span, format!("bands are `{}`{near}", BANDS.join("`, `")));
            }
            "alias" if text.is_none_or(|it| AliasKind::parse(it).is_none()) => {
                let kinds = AliasKind::ALL.map(AliasKind::as_str);
                let near = meant(text.unwrap_or_default(), &kinds);
                self.refuse(span, format!("aliases are `{}`{near}", kinds.join("`, `")));
            }
            "known" => match text.and_then(parameter) {
                Some(path) => self.asks.known.push(path),
                None => self.refuse(span, NO_PARAMETER),
            },
            _ => {}
        }
    }
}

/// What is said where the argument of `known` is none.
pub(in crate::profile) const NO_PARAMETER: &str =
    "`known` takes the whole path of one parameter, in quotes";

/// The path of one parameter, as `known` takes it.
pub(in crate::profile) fn parameter(text: &str) -> Option<Box<str>> {
    let path = Pattern::parse(text).ok()?;
    (path.is_literal() && !path.is_object()).then(|| text.into())
}

/// Whether a list is made somewhere within.
fn holds_list(expression: &ast::Expr<'_>) -> bool {
    match expression {
        ast::Expr::List(_) => true,
        ast::Expr::IfExpr(it) => {
            holds_list(&it.true_expr) || it.false_expr.as_ref().is_some_and(holds_list)
        }
        ast::Expr::Filter(it) => {
            let given = it.args.iter().any(|it| match it {
                ast::CallArg::Pos(it) | ast::CallArg::Kwarg(_, it) => holds_list(it),
                ast::CallArg::PosSplat(_) | ast::CallArg::KwargSplat(_) => true,
            });
            given || it.expr.as_ref().is_some_and(holds_list)
        }
        ast::Expr::BinOp(it) => holds_list(&it.left) || holds_list(&it.right),
        ast::Expr::GetItem(it) => holds_list(&it.expr),
        ast::Expr::Slice(it) => holds_list(&it.expr),
        _ => false,
    }
}
