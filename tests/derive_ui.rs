//! Every misuse of a derive or of what it generates is one error, at its own place, that says what
//! was expected: the programs in `tests/ui/` fail with exactly the errors beside them. What does nothing
//! unless it is used says so, too.

#[test]
fn misuse() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
