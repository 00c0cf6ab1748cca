package main

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/targate/targate/gateway/manage"
	"github.com/targate/targate/gateway/manage/api"
)

func aluaCommand() *cobra.Command {
	c := &cobra.Command{Use: "alua", Short: "Show and set the states of target port groups", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return failf(exitUsage, "a command is missing: list or set")
		}}
	c.AddCommand(aluaListCommand(), aluaSetCommand())
	return c
}

func aluaListCommand() *cobra.Command {
	var f serverFlags
	c := &cobra.Command{Use: "list", Short: "List the target port groups", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var v manage.ALUAStatus
			err := f.with(c, func(ctx context.Context, cl *api.Client) error { return cl.Get(ctx, "/v1/alua", &v) })
			if err != nil {
				return err
			}
			return printALUA(c, f.output, v)
		}}
	f.add(c)
	return c
}

func printALUA(c *cobra.Command, output string, v manage.ALUAStatus) error {
	if output == "json" {
		return printJSON(c.OutOrStdout(), v)
	}
	t := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "GROUP\tSTATE\tPREFERRED\n")
	for _, g := range v.Groups {
		fmt.Fprintf(t, "%d\t%s\t%v\n", g.Tag, g.State, g.Preferred)
	}
	if err := t.Flush(); err != nil {
		return fail(exitFailure, err)
	}
	return nil
}

func aluaSetCommand() *cobra.Command {
	var f serverFlags
	c := &cobra.Command{Use: "set TAG STATE", Short: "Put a target port group into a state", Args: cobra.ExactArgs(2),
		Long: `Put a target port group into a state: active/optimized, active/non-optimized, standby,
unavailable or offline.

The command returns when the commands that ran through the group have ended and the state
is in effect and saved. Initiators are told.`,
		RunE: func(c *cobra.Command, args []string) error {
			var q api.ALUARequest
			tag, err := strconv.ParseUint(args[0], 10, 16)
			if err != nil || tag == 0 {
				return failf(exitUsage, "%q is not a tag: a number from 1 to %d", args[0], math.MaxUint16)
			}
			q.Tag = uint16(tag)
			if err := q.State.UnmarshalText([]byte(args[1])); err != nil {
				return fail(exitUsage, err)
			}
			var v manage.ALUAStatus
			err = f.with(c, func(ctx context.Context, cl *api.Client) error { return cl.Post(ctx, "/v1/alua", q, &v) })
			if err != nil {
				return err
			}
			return printALUA(c, f.output, v)
		}}
	f.add(c)
	return c
}
