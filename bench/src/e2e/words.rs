//! The words of the hidden commands.

use std::path::Path;

use super::Result;

/// A path as a word.
///
/// # Errors
/// When it is no Unicode.
pub fn word(path: &Path) -> Result<&str> {
    path.to_str()
        .ok_or_else(|| format!("{} is no Unicode", path.display()))
}

/// The number in a place of the words.
///
/// # Errors
/// When there is none.
pub fn number<T: std::str::FromStr>(words: &[&str], place: usize) -> Result<T> {
    let word = words.get(place).and_then(|word| word.parse().ok());
    word.ok_or_else(|| format!("word {place} of {words:?} should be a number"))
}

/// The path in the first place of the words.
///
/// # Errors
/// When there is none.
pub fn folder<'a>(words: &[&'a str]) -> Result<&'a Path> {
    let word: &'a str = words.first().ok_or("a folder is missing")?;
    Ok(Path::new(word))
}
