module github.com/targate/targate

go 1.26
