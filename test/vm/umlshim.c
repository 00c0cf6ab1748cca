// Loaded into user-mode-linux, not part of the Go package beside it.
//go:build ignore

/*
 * LD_PRELOAD shim for Debian 12's user-mode-linux 6.1 on CPUs whose XSAVE area is
 * larger than the kernel's fixed 2696 bytes (those with AMX). For such a CPU the host
 * answers EFAULT to a PTRACE_SETREGSET(NT_X86_XSTATE) of less than the whole area, and
 * user-mode-linux panics at its first exec: "ptrace set fp regs failed, errno = 14".
 * So pad what it sets with zeros. Harmless on other CPUs.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NT_X86_XSTATE = 0x202, HEADER = 512, LEGACY = 576 };

static unsigned char padded[65536] __attribute__((aligned(64)));
static unsigned long whole; /* length of the host's area */

static long set_xstate(long pid, void *type, struct iovec *in)
{
	struct iovec v = { padded, sizeof padded };
	if (!whole && syscall(SYS_ptrace, PTRACE_GETREGSET, pid, type, &v) == 0)
		whole = v.iov_len;
	if (whole <= in->iov_len || in->iov_len < LEGACY)
		return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, type, in);
	memcpy(padded, in->iov_base, in->iov_len);
	memset(padded + in->iov_len, 0, whole - in->iov_len);
	/* XSTATE_BV: only the states that fit into what was given, x87 to PKRU. */
	*(uint64_t *)(padded + HEADER) &= 0x3ff;
	v.iov_base = padded;
	v.iov_len = whole;
	return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, type, &v);
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list a;
	va_start(a, request);
	long pid = va_arg(a, int);
	void *addr = va_arg(a, void *), *data = va_arg(a, void *);
	va_end(a);

	if (request == PTRACE_SETREGSET && (unsigned long)addr == NT_X86_XSTATE)
		return set_xstate(pid, addr, data);
	if (request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER) {
		/* The system call stores the word, the library function returns it. */
		long word;
		if (syscall(SYS_ptrace, request, pid, addr, &word) < 0)
			return -1;
		errno = 0;
		return word;
	}
	return syscall(SYS_ptrace, request, pid, addr, data);
}
