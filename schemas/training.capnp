@0x90497b7a5e6bb864;
# What the stages of a job tell one another besides tensors. Each struct is the
# payload of one control message (wire/training.h has the value types and says
# which stage sends it when). Evolve by appending fields with new ordinals.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("ptrain::schema");

struct StepReport {
  # Every stage to the driver, once its gradients are complete.
  lossSum @0 :Float64;                  # nats, summed over the step's tokens; last stage only,
                                        # of the first lane that the process holds
  gradientSquares @1 :List(Float64);    # one a parameter, canonical order
  stopRequested @2 :Bool;               # someone asked this stage to stop
  time @3 :Time;
  otherLossSums @4 :List(Float64);      # of the other lanes that it holds, in their order
  stateDigest @5 :UInt64;               # XXH3-64 of parameters and optimiser before the step; 0: not
                                        # asked for
  numericsClass @6 :Text;               # of the process; in its first report only

  struct Time {
    # In all steps that the stage's process has done, in seconds.
    step @0 :Float64;                   # whole steps
    compute @1 :Float64;
    waitPrevious @2 :Float64;           # for activations
    waitNext @3 :Float64;               # for gradients
    toPrevious @4 :Sending;
    toNext @5 :Sending;
    mostInFlight @6 :UInt32;            # microbatches that its memory holds; 0: not known
  }
  struct Sending {
    busy @0 :Float64;                   # something was on its way, the round trip not counted
    bytes @1 :UInt64;
    roundTrip @2 :Float64;              # of a small message, smoothed
  }
}

struct StepVerdict {
  # The driver to every stage: apply the step, with this factor.
  loss @0 :Float64;                     # nats per token
  gradientNorm @1 :Float64;
  clipFactor @2 :Float64;
  stop @3 :Bool;                        # this step is the last: save and leave
  save @4 :Bool;                        # by the driver's clock a checkpoint of this step is due
  inFlight @5 :UInt32;                  # of the first stage from the next step on; 0: as many as
                                        # there are stages
}

struct EvalReport {
  # The last stage to the driver.
  lossSum @0 :Float64;
  tokens @1 :UInt64;
}

struct ResumeOffer {
  # Every stage to the driver: the checkpoints that it could continue from.
  checkpoints @0 :List(Entry);
  struct Entry {
    step @0 :UInt64;
    id @1 :Text;
  }
  shares @1 :List(Entry);               # whole here, with a manifest or without; the id says of which
                                        # run they are
}

struct ResumeChoice {
  # The driver to every stage: continue from this one. An empty id: begin anew.
  step @0 :UInt64;
  id @1 :Text;
  evalBatches @2 :UInt32;               # in an evaluation; stages without data cannot count them
  dataFingerprint @3 :Text;             # of the training shards; for the checkpoints to come
  seal @4 :Bool;                        # the step has no manifest: first make one, of all records
  inFlight @5 :UInt32;                  # of the first stage, until a verdict says otherwise
  evaluate @6 :Bool;                    # before the first step: the run ended before it could
  weightsSha256 @7 :Text;               # of the checkpoint; empty where it has no manifest so far
}
