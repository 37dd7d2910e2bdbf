/*
 * delay_proxy.c: forwards TCP connections of this machine, each byte a given time later, for "remote".
 *
 * delay_proxy MICROSECONDS PORT...
 * Listens on a port of its own for each of the given ones of 127.0.0.1, and prints the numbers. What arrives, in either direction, goes on
 * after so many microseconds: a wire with that latency, whose bandwidth and window have no limits. On SIGUSR1 it prints how many bytes have
 * arrived so far. Ends with its parent.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define MAX_PORTS 8
#define MAX_PIPES 256
#define CHUNK 65536

static int64_t arrived = 0;
static volatile sig_atomic_t asked = 0;

static void
ask(int number)
{
	asked = 1;
}

typedef struct Chunk
{
	struct Chunk *next;
	int64_t		due;			/* nanoseconds */
	int			size;			/* 0: the end */
	int			done;
	char		data[];
} Chunk;

/* One direction of a connection; the other one is its neighbour. */
typedef struct Pipe
{
	int			from;
	int			to;				/* -1: the end was passed on */
	int			ended;			/* the end was read */
	Chunk	   *head;
	Chunk	  **tail;
} Pipe;

static Pipe pipes[MAX_PIPES];
static int	npipes;

static void
fail(const char *what)
{
	perror(what);
	exit(1);
}

static int64_t
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t) t.tv_sec * 1000000000 + t.tv_nsec;
}

/* port 0: any */
static struct sockaddr_in
address(int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return a;
}

static int
listen_anywhere(void)
{
	struct sockaddr_in a = address(0);
	socklen_t	size = sizeof(a);
	int			fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *) &a, sizeof(a)) < 0 || listen(fd, 16) < 0 || getsockname(fd, (struct sockaddr *) &a, &size) < 0)
		fail("listen");
	printf("%d ", ntohs(a.sin_port));
	return fd;
}

static void
start_pipe(int from, int to)
{
	Pipe	   *p = &pipes[npipes++];
	int			on = 1;

	*p = (Pipe) {.from = from, .to = to};
	p->tail = &p->head;
	setsockopt(to, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	fcntl(to, F_SETFL, O_NONBLOCK);
}

static void
accept_client(int listener, int port)
{
	struct sockaddr_in a = address(port);
	int			client = accept(listener, NULL, NULL);
	int			server = socket(AF_INET, SOCK_STREAM, 0);

	if (client < 0 || server < 0)
		fail("accept");
	if (npipes + 2 > MAX_PIPES || connect(server, (struct sockaddr *) &a, sizeof(a)) < 0)
	{
		close(client);
		close(server);
		return;
	}
	start_pipe(client, server);
	start_pipe(server, client);
}

/* A connection that breaks ends like one that is closed. */
static void
read_chunk(Pipe *p, int64_t delay)
{
	static char buffer[CHUNK];
	ssize_t		size = read(p->from, buffer, sizeof(buffer));
	Chunk	   *c;

	if (size > 0)
		arrived += size;
	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (size < 0)
		size = 0;
	c = malloc(sizeof(Chunk) + size);
	if (c == NULL)
		fail("malloc");
	c->next = NULL;
	c->due = now() + delay;
	c->size = size;
	c->done = 0;
	__builtin_memcpy(c->data, buffer, size);
	*p->tail = c;
	p->tail = &c->next;
	p->ended = size == 0;
}

/* Passes on what is due, as far as it is taken. */
static void
write_chunks(Pipe *p, int64_t time)
{
	while (p->head != NULL && p->head->due <= time)
	{
		Chunk	   *c = p->head;

		if (c->size == 0)
		{
			shutdown(p->to, SHUT_WR);
			p->to = -1;
		}
		else if (p->to >= 0)
		{
			ssize_t		size = send(p->to, c->data + c->done, c->size - c->done, MSG_NOSIGNAL);

			if (size < 0 && (errno == EAGAIN || errno == EINTR))
				return;
			c->done = size < 0 ? c->size : c->done + size;
			if (c->done < c->size)
				continue;
		}
		p->head = c->next;
		if (p->head == NULL)
			p->tail = &p->head;
		free(c);
	}
}

/* Closes connections that have ended in both directions. */
static void
forget_ended(void)
{
	for (int i = 0; i < npipes; i += 2)
	{
		if (pipes[i].to >= 0 || pipes[i + 1].to >= 0)
			continue;
		close(pipes[i].from);
		close(pipes[i + 1].from);
		npipes -= 2;
		for (int k = 0; k < 2; k++)
		{
			pipes[i + k] = pipes[npipes + k];
			if (pipes[i + k].head == NULL)
				pipes[i + k].tail = &pipes[i + k].head;
		}
		i -= 2;
	}
}

int
main(int argc, char **argv)
{
	int64_t		delay = argc > 2 ? atoll(argv[1]) * 1000 : 0;
	int			nports = argc - 2;
	int			listeners[MAX_PORTS];

	if (nports < 1 || nports > MAX_PORTS)
	{
		fprintf(stderr, "usage: delay_proxy MICROSECONDS PORT...\n");
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	prctl(PR_SET_TIMERSLACK, 1);
	for (int i = 0; i < nports; i++)
		listeners[i] = listen_anywhere();
	printf("\n");
	fflush(stdout);
	signal(SIGUSR1, ask);

	for (;;)
	{
		struct pollfd fds[MAX_PORTS + MAX_PIPES * 2];
		int64_t		time = now();
		int64_t		next = time + (int64_t) 3600 * 1000000000;
		struct timespec wait;
		int			n = 0;
		int			polled;

		if (asked)
		{
			asked = 0;
			printf("%lld\n", (long long) arrived);
			fflush(stdout);
		}
		for (int i = 0; i < nports; i++)
			fds[n++] = (struct pollfd) {listeners[i], POLLIN, 0};
		polled = npipes;
		for (int i = 0; i < polled; i++)
		{
			Pipe	   *p = &pipes[i];
			int			is_due = p->head != NULL && p->head->due <= time;

			fds[n++] = (struct pollfd) {p->ended ? -1 : p->from, POLLIN, 0};
			fds[n++] = (struct pollfd) {is_due ? p->to : -1, POLLOUT, 0};
			if (p->head != NULL && !is_due && p->head->due < next)
				next = p->head->due;
		}
		wait = (struct timespec) {(next - time) / 1000000000, (next - time) % 1000000000};
		if (ppoll(fds, n, &wait, NULL) < 0 && errno != EINTR)
			fail("poll");
		for (int i = 0; i < polled; i++)
			if (fds[nports + 2 * i].revents != 0)
				read_chunk(&pipes[i], delay);
		time = now();
		for (int i = 0; i < polled; i++)
			write_chunks(&pipes[i], time);
		forget_ended();
		for (int i = 0; i < nports; i++)
			if (fds[i].revents != 0)
				accept_client(listeners[i], atoi(argv[i + 2]));
	}
}
