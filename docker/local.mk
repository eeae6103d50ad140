# docker: images and a compose file; tests/docker/run tries them.
EXTRA_DIST += .dockerignore docker/Dockerfile docker/README.md docker/docker-compose.yml docker/entrypoint docker/tree \
	docker/kcat/Dockerfile docker/zookeeper/Dockerfile docker/zookeeper/entrypoint \
	tests/docker/engine tests/docker/run
