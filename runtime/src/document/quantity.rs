//! Durations and sizes as people write them.

use std::time::Duration;

/// Reads `"250ms"`, `"30s"`, `"5m"`, `"72h"`, `"30d"`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, f64); 5] = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86400.0)];
    let number = quantity(text, &UNITS).ok_or("a duration is a number and one of ms, s, m, h, d, as in \"30s\"")?;
    Duration::try_from_secs_f64(number).map_err(|_| "this duration is out of range".into())
}

/// Reads `"1 MiB"`, `"64 KiB"`, `"512 B"`.
pub fn parse_bytes(text: &str) -> Result<usize, String> {
    const UNITS: [(&str, f64); 4] = [("KiB", 1024.0), ("MiB", 1_048_576.0), ("GiB", 1_073_741_824.0), ("B", 1.0)];
    let number = quantity(text, &UNITS).ok_or("a size is a number and one of B, KiB, MiB, GiB, as in \"1 MiB\"")?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "quantity() is not negative; larger sizes saturate")]
    Ok(number as usize)
}

fn quantity(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(split);
    let factor = units.iter().find(|(name, _)| *name == unit.trim_start())?.1;
    number.parse::<f64>().ok().map(|number| number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_read_as_written() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("1.5h"), Ok(Duration::from_mins(90)));
        assert_eq!(parse_bytes("1 MiB"), Ok(1 << 20));
        assert_eq!(parse_bytes("64KiB"), Ok(64 << 10));
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for bad in ["", "5", "s", "-5s", "5 years", "1e9s", "5 s s"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        assert!(parse_bytes("1 MB").is_err());
    }
}
