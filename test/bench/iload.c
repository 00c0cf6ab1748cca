// Not part of the Go program beside it.
//go:build ignore

/*
 * iload: an iSCSI load generator that costs so little per I/O that the target, not
 * the client, is what it measures (0.15-0.7 us of CPU per I/O at queue depth 32;
 * libiscsi's clients need 1.5-4 us).
 *
 * Closed loop: every connection keeps a fixed number of commands outstanding. One
 * thread serves one connection. New commands are gathered into one writev, answers
 * are taken from one large receive buffer, and read data is skipped, not copied out.
 * What comes back is counted, not checked: correctness is the business of other
 * tests. Prints one line of JSON.
 *
 * usage: iload [options]
 *   -H host  -p port  -t target  -l lun     where (127.0.0.1, 3260, -, 0)
 *   -o read|write|nop|tur                   what (read)
 *      tape-read|tape-write                 blocks of a tape, from its beginning on; -n is needed
 *   -b bytes  -q depth  -c connections      block size, depth of each connection
 *   -s seconds                              how long (3)
 *   -n count                                I/Os of each connection, instead of -s; then what was
 *                                           written is flushed, and that counts too
 *   -L                                      each connection has a LUN of its own, from -l on
 *   -2                                      what is written is half zeros
 *   -S                                      sequential, not random
 *   -R MiB                                  stay in this much of the device (256)
 *   -C cpu                                  pin the client
 *   -P pid                                  charge the CPU time of this server
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { BHS = 48, MAX_DEPTH = 4096, MAX_CONNS = 64, MAX_IOV = 8192 };
enum { PATTERN = 1 << 26 };		/* bytes that writes are taken from */
enum { BURST = 1 << 20, FIRST_BURST = 262144, SEGMENT = 262144 };	/* what we offer */
enum opcode { NOP_OUT = 0x00, COMMAND = 0x01, LOGIN = 0x03, DATA_OUT = 0x05,
	NOP_IN = 0x20, RESPONSE = 0x21, LOGIN_RESPONSE = 0x23, DATA_IN = 0x25, R2T = 0x31 };
enum { IMMEDIATE = 0x40, FINAL = 0x80, WANT_READ = 0x40, WANT_WRITE = 0x20, SIMPLE = 1, STATUS = 1 };
static const uint32_t NO_TAG = 0xffffffff;

enum work { DO_READ, DO_WRITE, DO_NOP, TAPE_READ, TAPE_WRITE, DO_TUR };
static const char *const work_names[] = { "read", "write", "nop", "tape-read", "tape-write", "tur" };

static struct {
	const char *host, *target;
	int port, lun;
	enum work work;
	int bytes, depth, conns, sequential, cpu, server, own_lun, half;
	uint64_t count;
	double seconds;
	uint64_t range;
} opt = { .host = "127.0.0.1", .target = "", .port = 3260, .bytes = 512, .depth = 1, .conns = 1,
	.cpu = -1, .seconds = 3, .range = 256ull << 20 };

static volatile int stopping;
static pthread_barrier_t start_line;

static void die(const char *format, ...)
{
	va_list a;
	va_start(a, format);
	fputs("iload: ", stderr);
	vfprintf(stderr, format, a);
	fputc('\n', stderr);
	exit(1);
}

static inline uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static inline void put32(uint8_t *p, uint32_t v) { v = htobe32(v); memcpy(p, &v, 4); }
static inline uint32_t get32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return be32toh(v); }
static inline void put24(uint8_t *p, uint32_t v) { p[0] = v >> 16; p[1] = v >> 8; p[2] = v; }
static inline uint32_t get24(const uint8_t *p) { return p[0] << 16 | p[1] << 8 | p[2]; }
static inline int padded(int n) { return (n + 3) & ~3; }

/* Latencies: buckets of 1/64 of a power of two, in nanoseconds. */
enum { BUCKETS = 64 * 40 };

static inline int bucket(uint64_t ns)
{
	if (ns < 64)
		return ns;
	int l = 63 - __builtin_clzll(ns), i = (l - 5) * 64 + ((ns >> (l - 6)) & 63);
	return i < BUCKETS ? i : BUCKETS - 1;
}

static inline uint64_t bucket_ns(int i)
{
	int l = i / 64 + 5;
	return i < 64 ? (uint64_t)i : (1ull << l) + ((uint64_t)(i % 64) << (l - 6));
}

/* One session of one connection. */
struct conn {
	int fd, id;
	uint32_t cmd_sn, exp_stat_sn, max_cmd_sn;
	int segment, first_burst, immediate, initial_r2t;	/* agreed with the target */
	uint64_t slots, next_slot, random;	/* positions of I/Os in the range */
	uint32_t blocks;			/* per I/O */
	int lun;
	uint8_t *pattern;			/* what writes carry: some of this */
	uint8_t *data[MAX_DEPTH];		/* of each task, in the pattern */
	uint64_t submitted;
	uint64_t started[MAX_DEPTH];		/* by task tag */
	uint16_t free_tags[MAX_DEPTH];
	int free_count, in_flight;
	uint8_t *in;				/* received, not yet used: in[off..len) */
	size_t off, len, room;
	uint8_t header[BHS];			/* of the PDU whose data is being skipped */
	size_t skip;				/* bytes of it still to come */
	int have_header;
	uint64_t histogram[BUCKETS], count, errors, slowest;
};

static void send_all(struct conn *c, struct iovec *v, int n)
{
	while (n) {
		ssize_t r = writev(c->fd, v, n > 1000 ? 1000 : n);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			die("send: %s", strerror(errno));
		for (; n && (size_t)r >= v->iov_len; n--)
			r -= v++->iov_len;
		if (n) {
			v->iov_base = (char *)v->iov_base + r;
			v->iov_len -= r;
		}
	}
}

static void receive_all(struct conn *c, void *to, size_t n)
{
	for (uint8_t *p = to; n;) {
		ssize_t r = recv(c->fd, p, n, 0);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			die("receive: %s", r ? strerror(errno) : "the target closed the connection");
		p += r;
		n -= r;
	}
}

/* Login with AuthMethod=None: the security stage, then one offer of keys. */

static void take_keys(struct conn *c, char *text, int len)
{
	for (int i = 0; i < len;) {
		char *key = text + i, *value;
		int n = strnlen(key, len - i);
		if ((value = memchr(key, '=', n))) {
			*value++ = 0;
			if (!strcmp(key, "MaxRecvDataSegmentLength"))
				c->segment = atoi(value);
			else if (!strcmp(key, "FirstBurstLength"))
				c->first_burst = atoi(value);
			else if (!strcmp(key, "ImmediateData"))
				c->immediate = !strcmp(value, "Yes");
			else if (!strcmp(key, "InitialR2T"))
				c->initial_r2t = !strcmp(value, "Yes");
		}
		i += n + 1;
	}
}

static void add_key(char *text, int *n, const char *format, ...)
{
	va_list a;
	va_start(a, format);
	*n += vsprintf(text + *n, format, a) + 1;
}

static void login(struct conn *c)
{
	c->segment = 8192;
	c->first_burst = FIRST_BURST;
	c->immediate = c->initial_r2t = 1;
	c->cmd_sn = 1;
	for (int stage = 0, next = 1, step = 0; stage != 3; step++) {
		char text[2048], answer[65536];
		int n = 0;
		if (step == 0) {
			add_key(text, &n, "InitiatorName=iqn.2026-11.org.targate:iload%d.%d", c->id, (int)getpid());
			add_key(text, &n, "TargetName=%s", opt.target);
			add_key(text, &n, "SessionType=Normal");
			add_key(text, &n, "AuthMethod=None");
		} else if (stage == 1) {
			add_key(text, &n, "HeaderDigest=None");
			add_key(text, &n, "DataDigest=None");
			add_key(text, &n, "InitialR2T=Yes");
			add_key(text, &n, "ImmediateData=Yes");
			add_key(text, &n, "MaxRecvDataSegmentLength=%d", SEGMENT);
			add_key(text, &n, "MaxBurstLength=%d", BURST);
			add_key(text, &n, "FirstBurstLength=%d", FIRST_BURST);
			add_key(text, &n, "MaxConnections=1");
			add_key(text, &n, "DefaultTime2Wait=2");
			add_key(text, &n, "DefaultTime2Retain=0");
			add_key(text, &n, "MaxOutstandingR2T=1");
			add_key(text, &n, "DataPDUInOrder=Yes");
			add_key(text, &n, "DataSequenceInOrder=Yes");
			add_key(text, &n, "ErrorRecoveryLevel=0");
		}
		if (step > 10)
			die("no end of the login");
		uint8_t h[BHS] = { LOGIN | IMMEDIATE, FINAL | stage << 2 | next }, pad[3] = { 0 };
		put24(h + 5, n);
		memcpy(h + 8, "\x80\x12\x34\x50\x00", 5);	/* ISID: random format, own qualifier */
		h[13] = c->id;
		put32(h + 24, c->cmd_sn);
		put32(h + 28, c->exp_stat_sn);
		struct iovec v[] = { { h, BHS }, { text, n }, { pad, padded(n) - n } };
		send_all(c, v, 3);
		receive_all(c, h, BHS);
		n = get24(h + 5);
		if (h[0] != LOGIN_RESPONSE || padded(n) > (int)sizeof answer)
			die("login: opcode %#x with %d bytes", h[0], n);
		receive_all(c, answer, padded(n));
		if (h[36])
			die("login: refused with status %02x%02x", h[36], h[37]);
		c->exp_stat_sn = get32(h + 24) + 1;
		c->max_cmd_sn = get32(h + 32);
		take_keys(c, answer, n);
		if (h[1] & FINAL) {
			stage = h[1] & 3;
			next = 3;
		}
	}
}

static void command(struct conn *c, uint8_t *h, int flags, uint32_t tag, uint32_t length, const uint8_t cdb[16])
{
	memset(h, 0, BHS);
	h[0] = COMMAND;
	h[1] = FINAL | SIMPLE | flags;
	h[9] = c->lun;
	put32(h + 16, tag);
	put32(h + 20, length);
	put32(h + 24, c->cmd_sn++);
	put32(h + 28, c->exp_stat_sn);
	memcpy(h + 32, cdb, 16);
}

/* One read-type command, again while unit attentions stand in its way. */
static void ask(struct conn *c, const uint8_t cdb[16], int length, uint8_t *to)
{
	for (int tries = 0; tries < 8; tries++) {
		uint8_t h[BHS], data[65536];
		command(c, h, length ? WANT_READ : 0, MAX_DEPTH, length, cdb);
		struct iovec v = { h, BHS };
		send_all(c, &v, 1);
		for (;;) {
			receive_all(c, h, BHS);
			int n = get24(h + 5);
			if (padded(n) > (int)sizeof data)
				die("answer of %d bytes", n);
			receive_all(c, data, padded(n));
			if (h[0] == DATA_IN && get32(h + 40) + n <= (uint32_t)length)
				memcpy(to + get32(h + 40), data, n);
			else if (h[0] != RESPONSE && h[0] != NOP_IN)
				die("unexpected opcode %#x", h[0]);
			if (h[0] == RESPONSE || (h[0] == DATA_IN && h[1] & STATUS))
				break;
		}
		c->exp_stat_sn = get32(h + 24) + 1;
		c->max_cmd_sn = get32(h + 32);
		if (!h[3])
			return;
	}
	die("command %02x fails", cdb[0]);
}

static void data_out(struct conn *c, uint8_t *h, uint32_t tag, const uint8_t *transfer_tag, uint32_t sn, uint32_t off, int n, int last)
{
	memset(h, 0, BHS);
	h[0] = DATA_OUT;
	h[1] = last ? FINAL : 0;
	put24(h + 5, n);
	h[9] = c->lun;
	put32(h + 16, tag);
	memcpy(h + 20, transfer_tag, 4);
	put32(h + 28, c->exp_stat_sn);
	put32(h + 36, sn);
	put32(h + 40, off);
}

static void answer_r2t(struct conn *c, const uint8_t *r2t)
{
	static __thread uint8_t headers[BURST / 512][BHS];
	static __thread struct iovec v[2 * BURST / 512];
	uint32_t off = get32(r2t + 40), left = get32(r2t + 44), sn = 0;
	int n = 0;
	if (off + (uint64_t)left > (uint32_t)opt.bytes || left > BURST)
		die("R2T for %u bytes at %u", left, off);
	while (left) {
		uint32_t part = left < (uint32_t)c->segment ? left : (uint32_t)c->segment;
		uint8_t *h = headers[n / 2];
		data_out(c, h, get32(r2t + 16), r2t + 20, sn++, off, part, part == left);
		v[n++] = (struct iovec){ h, BHS };
		v[n++] = (struct iovec){ c->data[get32(r2t + 16)] + off, part };
		off += part;
		left -= part;
	}
	send_all(c, v, n);
}

static void answer_nop(struct conn *c, const uint8_t *in)
{
	uint8_t h[BHS] = { NOP_OUT | IMMEDIATE, FINAL };
	memcpy(h + 8, in + 8, 8);
	put32(h + 16, NO_TAG);
	memcpy(h + 20, in + 20, 4);
	put32(h + 24, c->cmd_sn);
	put32(h + 28, c->exp_stat_sn);
	struct iovec v = { h, BHS };
	send_all(c, &v, 1);
}

static inline int tape(void) { return opt.work == TAPE_READ || opt.work == TAPE_WRITE; }
static inline int writing(void) { return opt.work == DO_WRITE || opt.work == TAPE_WRITE; }

static inline uint64_t next_position(struct conn *c)
{
	if (opt.sequential)
		return c->next_slot++ % c->slots;
	c->random ^= c->random << 13;
	c->random ^= c->random >> 7;
	c->random ^= c->random << 17;
	return c->random % c->slots;
}

/* Fills the queue up to its depth, with one writev. */
static void submit(struct conn *c)
{
	static __thread struct iovec v[MAX_IOV];
	static __thread uint8_t headers[MAX_DEPTH][BHS];
	int n = 0, used = 0;
	while (!stopping && c->free_count && (!opt.count || c->submitted < opt.count) && (int32_t)(c->max_cmd_sn - c->cmd_sn) >= 0 && n + 2 < MAX_IOV) {
		int tag = c->free_tags[--c->free_count];
		uint8_t *h = headers[used++], cdb[16] = { 0 };
		int data = 0;
		switch (opt.work) {
		case DO_NOP:
			memset(h, 0, BHS);
			h[0] = NOP_OUT;
			h[1] = FINAL;
			put32(h + 16, tag);
			put32(h + 20, NO_TAG);
			put32(h + 24, c->cmd_sn++);
			put32(h + 28, c->exp_stat_sn);
			break;
		case DO_TUR:
			command(c, h, 0, tag, 0, cdb);
			break;
		default:
			if (tape()) {
				cdb[0] = opt.work == TAPE_READ ? 0x08 : 0x0a;
				put24(cdb + 2, opt.bytes);
			} else {
				cdb[0] = opt.work == DO_READ ? 0x28 : 0x2a;
				put32(cdb + 2, next_position(c) * c->blocks);
				cdb[7] = c->blocks >> 8;
				cdb[8] = c->blocks;
			}
			command(c, h, writing() ? WANT_WRITE : WANT_READ, tag, opt.bytes, cdb);
			/* No two blocks of the last 64 MiB are alike: a compressor finds nothing in them. */
			c->data[tag] = c->pattern + c->submitted * (opt.bytes + 8ull) % (PATTERN - opt.bytes);
			if (writing() && c->immediate) {
				data = c->first_burst < c->segment ? c->first_burst : c->segment;
				if (data > opt.bytes)
					data = opt.bytes;
				put24(h + 5, data);
			}
		}
		c->submitted++;
		/* Headers without data between them lie side by side: one iovec. */
		if (n && (uint8_t *)v[n - 1].iov_base + v[n - 1].iov_len == h)
			v[n - 1].iov_len += BHS;
		else
			v[n++] = (struct iovec){ h, BHS };
		if (data)
			v[n++] = (struct iovec){ c->data[tag], data };
		c->started[tag] = now();
		c->in_flight++;
	}
	if (n)
		send_all(c, v, n);
}

static void finish(struct conn *c, uint32_t tag, int failed)
{
	if (tag >= (uint32_t)opt.depth)
		die("answer to an unknown task %u", tag);
	uint64_t ns = now() - c->started[tag];
	c->histogram[bucket(ns)]++;
	if (ns > c->slowest)
		c->slowest = ns;
	c->errors += failed;
	c->count++;
	c->in_flight--;
	c->free_tags[c->free_count++] = tag;
}

static void take_pdu(struct conn *c, const uint8_t *h)
{
	uint32_t tag = get32(h + 16);
	c->max_cmd_sn = get32(h + 32);
	switch (h[0]) {
	case DATA_IN:
		if (!(h[1] & STATUS))
			return;
		/* the status is here */ /* fall through */
	case RESPONSE:
		c->exp_stat_sn = get32(h + 24) + 1;
		finish(c, tag, h[3] != 0);
		return;
	case NOP_IN:
		if (tag != NO_TAG) {
			c->exp_stat_sn = get32(h + 24) + 1;
			finish(c, tag, 0);
		} else if (get32(h + 20) != NO_TAG) {
			answer_nop(c, h);
		}
		return;
	case R2T:
		answer_r2t(c, h);
		return;
	}
	die("unexpected opcode %#x, reason %#x", h[0], h[2]);
}

/* One recv, then every PDU that is complete. */
static void receive(struct conn *c)
{
	if (c->off) {
		memmove(c->in, c->in + c->off, c->len - c->off);
		c->len -= c->off;
		c->off = 0;
	}
	ssize_t r;
	do
		r = recv(c->fd, c->in + c->len, c->room - c->len, 0);
	while (r < 0 && errno == EINTR);
	if (r <= 0)
		die("receive: %s", r ? strerror(errno) : "the target closed the connection");
	c->len += r;
	for (;;) {
		size_t have = c->len - c->off;
		if (!c->have_header) {
			if (have < BHS)
				break;
			memcpy(c->header, c->in + c->off, BHS);
			c->off += BHS;
			c->skip = padded(get24(c->header + 5));
			c->have_header = 1;
			have -= BHS;
		}
		size_t part = have < c->skip ? have : c->skip;
		c->off += part;
		c->skip -= part;
		if (c->skip)
			break;
		c->have_header = 0;
		take_pdu(c, c->header);
	}
	if (c->off == c->len)
		c->off = c->len = 0;
}

/* Random bytes that all connections share; with -2, every second KiB is zeros. */
static uint8_t *make_pattern(void)
{
	static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
	static uint8_t *all;
	pthread_mutex_lock(&mu);
	if (!all) {
		all = calloc(1, PATTERN);
		uint64_t x = 88172645463325252ull;
		for (uint64_t i = 0; writing() && i < PATTERN; i += 8) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			if (!opt.half || !(i >> 10 & 1))
				memcpy(all + i, &x, 8);
		}
	}
	pthread_mutex_unlock(&mu);
	return all;
}

static void *run(void *arg)
{
	struct conn *c = arg;
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(opt.port) };
	int one = 1;
	if (opt.cpu >= 0) {
		cpu_set_t set;
		CPU_ZERO(&set);
		CPU_SET(opt.cpu, &set);
		sched_setaffinity(0, sizeof set, &set);
	}
	if (inet_pton(AF_INET, opt.host, &to.sin_addr) != 1)
		die("%s is no IPv4 address", opt.host);
	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(c->fd, (void *)&to, sizeof to))
		die("connect: %s", strerror(errno));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	login(c);

	const uint8_t test_unit_ready[16] = { 0 }, read_capacity[16] = { 0x25 }, rewind[16] = { 0x01 };
	const uint8_t filemark[16] = { 0x10, 0, 0, 0, 1 }, synchronize[16] = { 0x35 };
	uint8_t capacity[8] = { 0 };
	c->slots = 1;
	if (tape()) {
		ask(c, test_unit_ready, 0, NULL);
		ask(c, rewind, 0, NULL);
	}
	if (opt.work == DO_READ || opt.work == DO_WRITE) {
		ask(c, test_unit_ready, 0, NULL);
		ask(c, read_capacity, 8, capacity);
		uint64_t blocks = get32(capacity) + 1ull;
		uint32_t size = get32(capacity + 4);
		if (!size || opt.bytes % size || opt.bytes / size > 65535)
			die("no I/O of %d bytes with blocks of %u", opt.bytes, size);
		if (blocks > opt.range / size)
			blocks = opt.range / size;
		c->blocks = opt.bytes / size;
		if (!(c->slots = blocks / c->blocks))
			die("the device is too small");
	}
	c->room = opt.bytes > 65536 ? 1 << 20 : 1 << 18;
	c->in = malloc(c->room);
	c->random = 88172645463325252ull + c->id * 7919;
	c->pattern = make_pattern();
	for (c->free_count = 0; c->free_count < opt.depth; c->free_count++)
		c->free_tags[c->free_count] = c->free_count;

	pthread_barrier_wait(&start_line);
	while (c->in_flight || (opt.count ? c->submitted < opt.count : !stopping)) {
		submit(c);
		if (c->in_flight)
			receive(c);
	}
	if (opt.count && writing())
		ask(c, tape() ? filemark : synchronize, 0, NULL);
	close(c->fd);
	return NULL;
}

/* CPU time in ns and context switches of all threads of a process. */
static void usage(int pid, uint64_t *ns, uint64_t *switches)
{
	char path[320];
	*ns = *switches = 0;
	snprintf(path, sizeof path, "/proc/%d/task", pid);
	DIR *d = opendir(path);
	if (!d)
		die("%s: %s", path, strerror(errno));
	for (struct dirent *e; (e = readdir(d));) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, e->d_name);
		FILE *f = fopen(path, "r");
		unsigned long long run, wait, slices;
		if (f && fscanf(f, "%llu %llu %llu", &run, &wait, &slices) == 3) {
			*ns += run;
			*switches += slices;
		}
		if (f)
			fclose(f);
	}
	closedir(d);
}

static void options(int argc, char **argv)
{
	for (int o; (o = getopt(argc, argv, "H:p:t:l:o:b:q:c:s:n:SL2R:C:P:")) != -1;)
		switch (o) {
		case 'H': opt.host = optarg; break;
		case 'p': opt.port = atoi(optarg); break;
		case 't': opt.target = optarg; break;
		case 'l': opt.lun = atoi(optarg); break;
		case 'o':
			for (opt.work = DO_READ; strcmp(work_names[opt.work], optarg); opt.work++)
				if (opt.work == DO_TUR)
					die("what is %s?", optarg);
			break;
		case 'b': opt.bytes = atoi(optarg); break;
		case 'q': opt.depth = atoi(optarg); break;
		case 'c': opt.conns = atoi(optarg); break;
		case 's': opt.seconds = atof(optarg); break;
		case 'n': opt.count = strtoull(optarg, NULL, 10); break;
		case 'S': opt.sequential = 1; break;
		case 'L': opt.own_lun = 1; break;
		case '2': opt.half = 1; break;
		case 'R': opt.range = (uint64_t)atoi(optarg) << 20; break;
		case 'C': opt.cpu = atoi(optarg); break;
		case 'P': opt.server = atoi(optarg); break;
		default: exit(2);
		}
	if (opt.bytes >= PATTERN || (tape() && !opt.count) || opt.depth < 1 || opt.depth > MAX_DEPTH || opt.conns < 1 || opt.conns > MAX_CONNS || opt.bytes < 1)
		die("depth 1 to %d, connections 1 to %d", MAX_DEPTH, MAX_CONNS);
}

int main(int argc, char **argv)
{
	static struct conn *conns[MAX_CONNS];
	pthread_t threads[MAX_CONNS];
	options(argc, argv);
	pthread_barrier_init(&start_line, NULL, opt.conns + 1);
	for (int i = 0; i < opt.conns; i++) {
		conns[i] = calloc(1, sizeof *conns[i]);
		conns[i]->id = i;
		conns[i]->lun = opt.lun + (opt.own_lun ? i : 0);
		pthread_create(&threads[i], NULL, run, conns[i]);
	}
	pthread_barrier_wait(&start_line);
	uint64_t server0 = 0, server1 = 0, switches0 = 0, switches1 = 0, client0, client1, unused;
	if (opt.server)
		usage(opt.server, &server0, &switches0);
	usage(getpid(), &client0, &unused);
	uint64_t begin = now();
	for (int i = 0; opt.count && i < opt.conns; i++)
		pthread_join(threads[i], NULL);
	struct timespec pause = { (time_t)opt.seconds, (long)((opt.seconds - (time_t)opt.seconds) * 1e9) };
	if (!opt.count)
		nanosleep(&pause, NULL);
	if (opt.server)
		usage(opt.server, &server1, &switches1);
	usage(getpid(), &client1, &unused);
	stopping = 1;
	double elapsed = (now() - begin) / 1e9;

	static uint64_t histogram[BUCKETS];
	uint64_t count = 0, errors = 0, slowest = 0, seen = 0;
	for (int i = 0; i < opt.conns; i++) {
		if (!opt.count)
			pthread_join(threads[i], NULL);
		count += conns[i]->count;
		errors += conns[i]->errors;
		if (conns[i]->slowest > slowest)
			slowest = conns[i]->slowest;
		for (int b = 0; b < BUCKETS; b++)
			histogram[b] += conns[i]->histogram[b];
	}
	if (!count)
		die("nothing was answered");
	double at[] = { .50, .99, .999 }, us[3] = { 0 };
	for (int b = 0, k = 0; b < BUCKETS && k < 3; b++)
		for (seen += histogram[b]; k < 3 && seen >= count * at[k]; k++)
			us[k] = bucket_ns(b) / 1e3;
	printf("{\"work\":\"%s\",\"bytes\":%d,\"depth\":%d,\"connections\":%d,\"iops\":%.0f,\"mb_per_s\":%.1f,"
	       "\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f,"
	       "\"server_us_per_io\":%.3f,\"server_switches_per_io\":%.3f,\"client_us_per_io\":%.3f,\"errors\":%lu}\n",
	       work_names[opt.work], opt.bytes, opt.depth, opt.conns, count / elapsed, count * (double)opt.bytes / elapsed / 1e6,
	       us[0], us[1], us[2], slowest / 1e3,
	       (server1 - server0) / 1e3 / count, (double)(switches1 - switches0) / count, (client1 - client0) / 1e3 / count,
	       errors);
	return errors != 0;
}
