//! `weir-net` behind the client's seam. Nothing else of the client names it, but for its types of
//! profiles, addresses, transports and connect errors.

use crate::{
    cluster::transport::{Address, BoxFuture, Dial, FrameSink, FrameSource, Link, Pipe},
    config::ClientConfig,
    error::RequestError,
};
use bytes::Bytes;
use futures_util::FutureExt;
use std::{io, sync::Arc};
use weir_net::{
    ConnectError, ConnectOptions, Connection, Connector, RecvHalf, SendHalf, Transport,
};

/// What connects as the configuration says.
pub(crate) fn dialer(config: &ClientConfig) -> Result<Arc<dyn Dial>, RequestError> {
    let mut options = ConnectOptions::new(config.profile.clone());
    options.transport = config.transport;
    options.connect_timeout = config.connect_timeout;
    let connector = Connector::new(options).map_err(failed)?;
    Ok(Arc::new(NetDial { connector }))
}

struct NetDial {
    connector: Connector,
}

struct NetLink {
    connection: Connection,
}

struct NetSink(SendHalf);

struct NetSource(RecvHalf);

fn failed(error: ConnectError) -> RequestError {
    RequestError::Connect(Arc::new(error))
}

impl Dial for NetDial {
    fn dial<'a>(
        &'a self,
        address: &'a Address,
    ) -> BoxFuture<'a, Result<Arc<dyn Link>, RequestError>> {
        Box::pin(async move {
            let connecting = self.connector.connect(&address.host, address.port);
            let connection = connecting.await.map_err(failed)?;
            let link: Arc<dyn Link> = Arc::new(NetLink { connection });
            Ok(link)
        })
    }
}

impl Link for NetLink {
    fn open(&self) -> BoxFuture<'_, Result<Pipe, RequestError>> {
        Box::pin(async {
            let channel = self.connection.channel().await.map_err(failed)?;
            let (sink, source) = channel.split();
            Ok(Pipe {
                sink: Box::new(NetSink(sink)),
                source: Box::new(NetSource(source)),
            })
        })
    }

    fn transport(&self) -> Transport {
        self.connection.transport()
    }

    fn is_closed(&self) -> bool {
        self.connection.closed().now_or_never().is_some()
    }
}

impl FrameSink for NetSink {
    fn send(&mut self, segments: Vec<Bytes>) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move { self.0.send(segments).await.map_err(io::Error::other) })
    }
}

impl FrameSource for NetSource {
    fn receive(&mut self) -> BoxFuture<'_, io::Result<Option<Bytes>>> {
        Box::pin(async { self.0.recv().await.map_err(io::Error::other) })
    }
}
