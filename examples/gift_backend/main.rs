//! A small business backend for the flow of gifts: an app calls, the backend
//! bills and pushes the gift into the room. The README says how to try it.
//!
//! `cargo run --example gift_backend -- 127.0.0.1:9000 http://127.0.0.1:7080`

mod shop;

use anyhow::Context as _;
use shop::Shop;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().init();
    let mut args = std::env::args().skip(1);
    let listen = args.next().unwrap_or_else(|| "127.0.0.1:9000".to_owned());
    let gateway = args
        .next()
        .unwrap_or_else(|| "http://127.0.0.1:7080".to_owned());
    let secret = std::env::var("SHOP_SECRET").context("SHOP_SECRET: the route's secret")?;
    let api_key = std::env::var("LIVEGATE_API_KEY").context("LIVEGATE_API_KEY")?;
    let shop = Shop::new(&secret, &gateway, &api_key)?;
    let listener = tokio::net::TcpListener::bind(&listen).await?;
    tracing::info!(%listen, %gateway, "the shop is open");
    axum::serve(listener, shop.router()).await?;
    Ok(())
}
