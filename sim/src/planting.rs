//! Planted bugs and marks, in builds that have them and in those that do not.

use ysyncd_engine::planted::Bug;

/// Why something cannot be had in this build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this needs a build with planted bugs and marks: cargo run --release -p ysyncd-sim --features mutants,marks -- …"
)]
pub struct NotBuiltIn;

/// Whether bugs can be planted.
///
/// # Errors
/// They cannot in this build.
pub const fn can_plant() -> Result<(), NotBuiltIn> {
    match cfg!(feature = "mutants") {
        true => Ok(()),
        false => Err(NotBuiltIn),
    }
}

/// Plants a bug in what runs on this thread from now on, or takes it out again.
/// Does nothing in builds that have none.
pub fn plant(bug: Option<Bug>) {
    #[cfg(feature = "mutants")]
    ysyncd_engine::planted::set(bug);
    #[cfg(not(feature = "mutants"))]
    let _ = bug;
}

/// The names of the marks that were hit on this thread since it was last asked,
/// and how often.
///
/// # Errors
/// They are not counted in this build.
pub fn take_marks() -> Result<Vec<(&'static str, u64)>, NotBuiltIn> {
    #[cfg(feature = "marks")]
    {
        let marks = ysyncd_engine::marks::take();
        Ok(marks
            .iter()
            .map(|(mark, count)| (mark.name(), count))
            .collect())
    }
    #[cfg(not(feature = "marks"))]
    Err(NotBuiltIn)
}
