"""From a finished variant to a server that people can reach: ONNX, HTTP, Ray Serve, a container."""
