//! What the operator sees of upstreams, by API, command line and metrics.

use hookfast_tests::World;
use serde_json::json;

#[tokio::test]
async fn an_operator_sees_how_upstreams_stand_and_can_let_calls_through_again() {
    let world = World::stripe().start().await;
    let list = world.admin("GET /upstreams").await.json();
    let crm = &list["data"][1];
    assert_eq!((&crm["name"], &crm["state"], &crm["auth"], &crm["why"]), (&json!("crm"), &json!("closed"), &json!("none"), &json!(null)));
    assert_eq!((&crm["policies"]["retries"], &crm["policies"]["breaker"]["slow_after_ms"]), (&json!(1), &json!(15_000)));
    assert_eq!(world.admin("GET /upstreams/crm").await.json()["changes"], json!([]));
    assert_eq!(world.admin("POST /upstreams/crm/reset").await.json()["state"], "closed");
    for request in ["GET /upstreams/erp", "POST /upstreams/erp/reset"] {
        assert_eq!(world.admin(request).await.status, 404, "{request}");
    }

    let shown = world.command(&["upstreams", "show", "crm"]).await;
    assert!(shown.starts_with("crm\n  URL         http://127.0.0.1:") && shown.contains("\n  breaker     opens at 50 % failed"), "{shown}");
    let unknown = world.command(&["upstreams", "reset", "erp"]).await;
    assert!(unknown.contains("there is no upstream of this name; `hookfast upstreams list` shows those that are"), "{unknown}");

    let metrics = world.metrics().await;
    for line in [
        r#"hookfast_upstream_state{upstream="crm",state="closed"} 1"#,
        r#"hookfast_upstream_state{upstream="crm",state="open"} 0"#,
        r#"hookfast_upstream_state_changes_total{upstream="crm",state="open"} 0"#,
        r#"hookfast_upstream_refusals_total{upstream="crm",reason="breaker_open"} 0"#,
        r#"hookfast_upstream_calls_under_way{upstream="crm"} 0"#,
    ] {
        assert!(metrics.contains(&format!("{line}\n")), "{line}\n{metrics}");
    }
    world.finish().await;
}
