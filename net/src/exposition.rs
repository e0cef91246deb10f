//! The same metrics for readers of the older format.

/// Rewrites OpenMetrics text as Prometheus text format 0.0.4.
///
/// The two differ in the names that the comments of a counter or an info
/// carry: OpenMetrics names the family (`x`), the older format the sample
/// (`x_total`, `x_info`). The older format also has no info type, no units
/// and no end mark.
pub(crate) fn prometheus_text(open_metrics: &str) -> String {
    let mut out = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (family, kind) = rest.split_once(' ').unwrap_or((rest, "untyped"));
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                other => ("", other),
            };
            if let Some((_, text)) = help.take().filter(|(name, _)| *name == family) {
                out.extend(["# HELP ", family, suffix, " ", text, "\n"]);
            }
            out.extend(["# TYPE ", family, suffix, " ", kind, "\n"]);
        } else if !line.starts_with('#') {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_name_the_samples_below_them() {
        let open_metrics = "\
# HELP a_bytes Size of a.
# TYPE a_bytes counter
# UNIT a_bytes bytes
a_bytes_total 3
# HELP b Now.
# TYPE b gauge
b -1
# HELP build Version.
# TYPE build info
build_info{version=\"# 1\"} 1
# EOF
";
        assert_eq!(
            prometheus_text(open_metrics),
            "\
# HELP a_bytes_total Size of a.
# TYPE a_bytes_total counter
a_bytes_total 3
# HELP b Now.
# TYPE b gauge
b -1
# HELP build_info Version.
# TYPE build_info gauge
build_info{version=\"# 1\"} 1
"
        );
    }
}
