//! Texts made to break the reader: answers or errors, never a crash.
#![allow(clippy::unwrap_used)]

use thrifty_source::Module;

/// Asks for `f` on a thread with as little stack as the smallest platform gives.
fn on_a_small_stack(source: String) -> Result<bool, String> {
    let ask = move || {
        let module = Module::parse(&source).map_err(|error| error.message.clone())?;
        let assigned = module.assignment("x").is_some();
        assert_eq!(module.outline().names.contains_key("x"), assigned);
        Ok(module.definition_at(1, "f", &|_| false).is_ok() || assigned)
    };
    std::thread::Builder::new().stack_size(512 * 1024).spawn(ask).unwrap().join().unwrap()
}

/// Sources that nest `depth` levels, one for each way to nest.
fn nested(depth: usize) -> Vec<(&'static str, String)> {
    let around = |open: &str, core: &str, close: &str| {
        format!("x = {}{core}{}\n", open.repeat(depth), close.repeat(depth))
    };
    let blocks = |head: &str, levels: usize| {
        let mut text = String::from("def f(x):\n");
        for level in 1..=levels {
            text.push_str(&format!("{}{head}\n", " ".repeat(level)));
        }
        text + &" ".repeat(levels + 1) + "pass\n"
    };
    vec![
        ("parentheses", around("(", "1", ")")),
        ("lists", around("[", "1", "]")),
        ("dictionaries", around("{1:", "1", "}")),
        ("calls", around("g(", "1", ")")),
        ("call chain", around("", "g", "()")),
        ("attribute chain", around("", "g", ".a")),
        ("subscripts", around("", "g", "[0]")),
        ("unary", around("-", "1", "")),
        ("not", around("not ", "1", "")),
        ("sum", around("", "1", "+1")),
        ("power", around("", "1", "**1")),
        ("and or", around("", "1", " and 1 or 1")),
        ("conditional", around("", "1", " if 1 else 1")),
        ("lambda", around("lambda:", "1", "")),
        ("lambda with commas", around("lambda a,b:", "1", "")),
        ("starred", around("*", "a", ",")),
        ("f-strings", around("f'{", "1", "}'")),
        ("comprehensions", around("[a for a in ", "b", "]")),
        ("walrus", around("(y:=", "1", ")")),
        ("await", format!("async def f(x): {} x\n", "await ".repeat(depth))),
        ("conditions", blocks("if x:", depth.min(700) / 4)),
        ("functions", blocks("def g(y):", depth.min(700) / 4)),
        ("classes", blocks("class C:", depth.min(700) / 4)),
        (
            "patterns",
            format!("match x:\n case {}1{}: pass\n", "[".repeat(depth), "]".repeat(depth)),
        ),
        ("async", "async ".repeat(depth)),
        ("decorators", format!("{}def f(x): pass\n", "@a\n".repeat(depth))),
    ]
}

#[test]
fn deep_nesting_that_is_accepted_is_walked() {
    for (name, source) in nested(900) {
        let answer = on_a_small_stack(source);
        let invalid = ["starred", "f-strings", "async", "await"].contains(&name);
        let expected = Ok(name != "patterns");
        assert!(invalid || answer == expected, "{name}: {answer:?}");
    }
}

#[test]
fn deeper_nesting_is_refused_before_it_is_parsed() {
    for (name, source) in nested(50_000) {
        let shallow = ["decorators", "conditions", "functions", "classes"].contains(&name);
        let answer = on_a_small_stack(source);
        assert!(shallow || answer.is_err(), "{name}");
    }
}

#[test]
fn the_deepest_that_is_accepted_is_walked_too() {
    for (open, close) in [("", "+1"), ("-", ""), ("lambda:", ""), ("[", "]"), ("[a for a in ", "]")]
    {
        let mut depth = 6_000;
        while Module::parse(&format!("x = {}1{}", open.repeat(depth), close.repeat(depth))).is_err()
        {
            depth -= 100;
        }
        let source = format!("x = {}1{}", open.repeat(depth), close.repeat(depth));
        assert_eq!(on_a_small_stack(source), Ok(true), "{open}1{close} at {depth}");
    }
}

#[test]
fn long_is_not_deep() {
    let table = format!("x = [{}]\n", "{'a': (1, -2), 'b': f(3)}, ".repeat(20_000));
    let text = format!("x = ({})\n", "'line' \n".repeat(20_000));
    let chain = format!("def f(x):\n if x: pass\n{}", " elif x: y = 1\n".repeat(20_000));
    let lines = format!("def f(x):\n{}", " x = x + 1; g(x, lambda a, b: a)\n".repeat(20_000));
    for source in [table, text, chain, lines] {
        assert_eq!(on_a_small_stack(source), Ok(true));
    }
}

#[test]
fn huge_numbers_are_read_in_time() {
    let hexadecimal = format!("x = 0x{}\n", "f".repeat(1_000_000));
    let decimal = format!("x = {}\n", "9".repeat(1_000_000));
    for source in [hexadecimal, decimal] {
        assert_eq!(on_a_small_stack(source), Ok(true));
    }
}
