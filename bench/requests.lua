-- For wrk: sends the lines of the file BENCH_BODIES in turn (or GET if the variable is not set), and prints one line of
-- figures: requests, seconds, p50 and p99 in milliseconds, errors.
local file = os.getenv("BENCH_BODIES")
local requests = {}
local at = 0

function init()
    local headers = { ["Content-Type"] = "application/json" }
    if file and file ~= "" then
        for body in io.lines(file) do
            requests[#requests + 1] = wrk.format("POST", nil, headers, body)
        end
    else
        requests[1] = wrk.format("GET")
    end
end

function request()
    at = at % #requests + 1
    return requests[at]
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format("figures %d %.6f %.4f %.4f %d\n", summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
        latency:percentile(99) / 1e3, errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
