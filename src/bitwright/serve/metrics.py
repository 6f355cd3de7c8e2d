"""What Prometheus can ask of a server, at /metrics. Labels are routes and models, never what a client sent."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024)


@dataclass(frozen=True)
class LaneMeter:
    """What one lane of one model counts."""

    queued: Gauge
    waited: Histogram
    ran: Histogram
    batch_images: Histogram
    images: Counter


class Metrics:
    """Every metric of one server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self.requests = Counter(
            "bitwright_requests", "Requests that were answered.", ("route", "method", "status"), registry=registry
        )
        self.seconds = Histogram(
            "bitwright_request_seconds",
            "From a request's headers to its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.held_bytes = Gauge("bitwright_held_bytes", "Bytes of requests in memory.", registry=registry)
        self.reloads = Counter(
            "bitwright_reloads", "Changed artifacts, taken or refused.", ("model", "outcome"), registry=registry
        )
        self.model_info = Gauge(
            "bitwright_model_info", "1 for what is served.", ("model", "version"), registry=registry
        )
        self.weights_changed = Gauge(
            "bitwright_weights_changed",
            "1 where bits of a model's weights have changed in memory: it answers 503.",
            ("model",),
            registry=registry,
        )
        lane = ("model", "lane")
        self._queued = Gauge("bitwright_queued_images", "Images that wait for an engine.", lane, registry=registry)
        self._waited = Histogram(
            "bitwright_queue_seconds", "What a request waited.", lane, buckets=_SECONDS, registry=registry
        )
        self._ran = Histogram("bitwright_run_seconds", "What a batch took.", lane, buckets=_SECONDS, registry=registry)
        self._batch = Histogram(
            "bitwright_batch_images", "Images of a batch.", lane, buckets=_IMAGES, registry=registry
        )
        self._images = Counter("bitwright_images", "Images that were run.", lane, registry=registry)

    def lane(self, model: str, lane: str) -> LaneMeter:
        labels = (model, lane)
        return LaneMeter(
            self._queued.labels(*labels),
            self._waited.labels(*labels),
            self._ran.labels(*labels),
            self._batch.labels(*labels),
            self._images.labels(*labels),
        )

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)
