//! The daily job as its administrators run it.

use super::scene::{Scene, other};
use crate::store::{Operation, WaterOperation};
use axum::http::StatusCode;
use jiff::ToSpan as _;
use model::Tenant;

#[tokio::test]
async fn the_daily_job_runs_once_at_a_time_and_by_a_clock_that_is_believed() {
    const RUN: &str = "POST /api/v1/jobs/daily/run";
    let scene = Scene::new().await;
    let (tenant, job) = (Tenant::default(), crate::water::DAILY);
    let day = scene.state.water.today().checked_sub(10.days()).unwrap();
    scene.commit(vec![Operation::Water(WaterOperation::EndDay { tenant, job, day })]).await;
    let lines = scene.audit_len(&Tenant::default()).await;
    assert_eq!(scene.call(RUN, None).await.code(), "clock_ahead");
    assert_eq!(scene.audit_len(&Tenant::default()).await, lines, "nothing was done");
    let believed = scene.call(&format!("{RUN}?believe_clock=true"), None).await;
    assert_eq!(believed.status, StatusCode::OK, "{believed:?}");
    assert_eq!(scene.last_audit().await.3["believe_clock"], true);
    assert_eq!(scene.call(RUN, None).await.status, StatusCode::OK, "from then on");

    let run = scene.state.water.run(&Tenant::default(), false).await.unwrap();
    for _ in 0..2 {
        let refused = scene.call(RUN, None).await;
        assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "job_under_way"));
    }
    let others = scene.make_token(&other(), "admin").await;
    assert_eq!(scene.call_as(Some(&others), RUN, None).await.status, StatusCode::OK);
    drop(run);
    assert_eq!(scene.call(RUN, None).await.status, StatusCode::OK);
}
