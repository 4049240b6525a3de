/*
 * Prints the layout that a C compiler gives kimi.h, in the words of Include/kimi.abi: constants, structs, fields. Fails if a
 * struct has a gap or a field that this list has forgotten.
 */
#include <kimi.h>

#include <stdio.h>
#include <string.h>

static int wrong;
static size_t expected_offset;

static void field(const char *structure, const char *name, size_t offset, size_t size) {
    printf("field %s %s %zu %zu\n", structure, name, offset, size);
    if (offset != expected_offset) {
        fprintf(stderr, "%s.%s is at %zu, and the field before it ends at %zu\n", structure, name, offset, expected_offset);
        wrong = 1;
    }
    expected_offset = offset + size;
}

static void end(const char *structure, size_t size) {
    if (size != expected_offset) {
        fprintf(stderr, "%s has %zu bytes, and its last field ends at %zu\n", structure, size, expected_offset);
        wrong = 1;
    }
}

#define STRUCT(name) \
    expected_offset = 0; \
    printf("struct " #name " %zu\n", sizeof(name))
#define FIELD(name, member) field(#name, #member, offsetof(name, member), sizeof(((name *)0)->member))
#define END(name) end(#name, sizeof(name))
#define CONSTANT(name) printf("constant " #name " %lld\n", (long long)(name))

int main(void) {
    CONSTANT(KIMI_OK);
    CONSTANT(KIMI_ERROR_INVALID_ARGUMENT);
    CONSTANT(KIMI_ERROR_INVALID_HANDLE);
    CONSTANT(KIMI_ERROR_BUSY);
    CONSTANT(KIMI_ERROR_CANCELLED);
    CONSTANT(KIMI_ERROR_OUT_OF_MEMORY);
    CONSTANT(KIMI_ERROR_IO);
    CONSTANT(KIMI_ERROR_FORMAT);
    CONSTANT(KIMI_ERROR_UNSUPPORTED);
    CONSTANT(KIMI_ERROR_CONTEXT_FULL);
    CONSTANT(KIMI_ERROR_NUMERIC);
    CONSTANT(KIMI_ERROR_MISMATCH);
    CONSTANT(KIMI_ERROR_INTERNAL);
    CONSTANT(KIMI_ERROR_TOO_SMALL);
    CONSTANT(KIMI_NUL);
    CONSTANT(KIMI_TEXT_LIMIT);
    CONSTANT(KIMI_ABI_VERSION);
    CONSTANT(KIMI_ISA_AUTO);
    CONSTANT(KIMI_ISA_SCALAR);
    CONSTANT(KIMI_ISA_AVX2);
    CONSTANT(KIMI_ISA_AVX512);
    CONSTANT(KIMI_ISA_AVX512_VNNI);
    CONSTANT(KIMI_ISA_AMX);
    CONSTANT(KIMI_CACHE_AUTO);
    CONSTANT(KIMI_CACHE_F32);
    CONSTANT(KIMI_CACHE_BF16);
    CONSTANT(KIMI_CACHE_INT8);
    CONSTANT(KIMI_LOAD_AUTO);
    CONSTANT(KIMI_LOAD_MAP);
    CONSTANT(KIMI_LOAD_COPY);
    CONSTANT(KIMI_LOAD_STREAM);
    CONSTANT(KIMI_PLACEMENT_AUTO);
    CONSTANT(KIMI_PLACEMENT_SLICE);
    CONSTANT(KIMI_PLACEMENT_EXPERT);
    CONSTANT(KIMI_PLACEMENT_REPLICATE);
    CONSTANT(KIMI_PAGES_AUTO);
    CONSTANT(KIMI_PAGES_SMALL);
    CONSTANT(KIMI_PAGES_HUGE);
    CONSTANT(KIMI_SHORTAGE_FAIL);
    CONSTANT(KIMI_SHORTAGE_WAIT);
    CONSTANT(KIMI_DENSE_STORED);
    CONSTANT(KIMI_DENSE_INT8);
    CONSTANT(KIMI_VISION_FULL);
    CONSTANT(KIMI_VISION_BF16);
    CONSTANT(KIMI_LOG_DEBUG);
    CONSTANT(KIMI_LOG_INFO);
    CONSTANT(KIMI_LOG_WARNING);
    CONSTANT(KIMI_LOG_ERROR);
    CONSTANT(KIMI_TOKENIZE_SPECIAL);
    CONSTANT(KIMI_EVALUATE_ALL);
    CONSTANT(KIMI_SEED_RANDOM);
    CONSTANT(KIMI_EVENT_PROMPT);
    CONSTANT(KIMI_EVENT_TOKEN);
    CONSTANT(KIMI_EVENT_FINISH);
    CONSTANT(KIMI_FINISH_STOP);
    CONSTANT(KIMI_FINISH_LENGTH);
    CONSTANT(KIMI_FINISH_CONTEXT);
    CONSTANT(KIMI_FINISH_CANCELLED);
    CONSTANT(KIMI_MODE_AUTO);
    CONSTANT(KIMI_MODE_INSTANT);
    CONSTANT(KIMI_MODE_THINKING);
    CONSTANT(KIMI_MODE_AGENT);
    CONSTANT(KIMI_MODE_SWARM);
    CONSTANT(KIMI_CONTEXT_STOP);
    CONSTANT(KIMI_CONTEXT_DROP_RESULTS);
    CONSTANT(KIMI_CONTEXT_ASK);
    CONSTANT(KIMI_CHAT_START);
    CONSTANT(KIMI_CHAT_PROMPT);
    CONSTANT(KIMI_CHAT_REASONING);
    CONSTANT(KIMI_CHAT_CONTENT);
    CONSTANT(KIMI_CHAT_CALL_BEGIN);
    CONSTANT(KIMI_CHAT_CALL_ARGUMENTS);
    CONSTANT(KIMI_CHAT_CALL_END);
    CONSTANT(KIMI_CHAT_CALL_REJECTED);
    CONSTANT(KIMI_CHAT_RESULT_NEEDED);
    CONSTANT(KIMI_CHAT_RESULT);
    CONSTANT(KIMI_CHAT_NOTICE);
    CONSTANT(KIMI_CHAT_FINISH);
    CONSTANT(KIMI_CHAT_MEDIA);
    CONSTANT(KIMI_FINISH_TOOL_CALLS);
    CONSTANT(KIMI_FINISH_STEPS);
    CONSTANT(KIMI_REJECTED_UNKNOWN_TOOL);
    CONSTANT(KIMI_REJECTED_ARGUMENTS);
    CONSTANT(KIMI_REJECTED_UNFINISHED);
    CONSTANT(KIMI_RESULT_OK);
    CONSTANT(KIMI_RESULT_FAILED);
    CONSTANT(KIMI_RESULT_TIMED_OUT);
    CONSTANT(KIMI_NOTICE_IGNORED_FIELD);
    CONSTANT(KIMI_NOTICE_SCHEMA);
    CONSTANT(KIMI_NOTICE_REASONING_BUDGET);
    CONSTANT(KIMI_NOTICE_CONTEXT);
    CONSTANT(KIMI_NOTICE_RESULTS_DROPPED);
    CONSTANT(KIMI_NOTICE_MODE);
    CONSTANT(KIMI_NOTICE_UNANSWERED);
    CONSTANT(KIMI_SCOPE_ALL);
    CONSTANT(KIMI_SCOPE_MAIN);
    CONSTANT(KIMI_SCOPE_AGENTS);
    CONSTANT(KIMI_QUEUE_NONE);
    CONSTANT(KIMI_QUEUE_GENERATION);
    CONSTANT(KIMI_QUEUE_CHAT);
    CONSTANT(KIMI_QUEUE_ERROR);
    CONSTANT(KIMI_SWARM_NONE);
    CONSTANT(KIMI_SWARM_CHAT);
    CONSTANT(KIMI_SWARM_CREATED);
    CONSTANT(KIMI_SWARM_TASK_BEGIN);
    CONSTANT(KIMI_SWARM_TASK_END);
    CONSTANT(KIMI_SWARM_BUDGET);
    CONSTANT(KIMI_SWARM_MEMORY);
    CONSTANT(KIMI_SWARM_FINISH);
    CONSTANT(KIMI_OUTCOME_FINISHED);
    CONSTANT(KIMI_OUTCOME_FAILED);
    CONSTANT(KIMI_OUTCOME_CANCELLED);
    CONSTANT(KIMI_OUTCOME_STEPS);
    CONSTANT(KIMI_OUTCOME_TOKENS);
    CONSTANT(KIMI_OUTCOME_ALL_TOKENS);
    CONSTANT(KIMI_OUTCOME_TIME);
    CONSTANT(KIMI_OUTCOME_ALL_TIME);
    CONSTANT(KIMI_OUTCOME_LENGTH);
    CONSTANT(KIMI_OUTCOME_CONTEXT);
    CONSTANT(KIMI_OUTCOME_MEMORY);
    CONSTANT(KIMI_BUDGET_MAIN_STEPS);
    CONSTANT(KIMI_BUDGET_TASK_STEPS);
    CONSTANT(KIMI_BUDGET_TASK_TOKENS);
    CONSTANT(KIMI_BUDGET_ALL_TOKENS);
    CONSTANT(KIMI_BUDGET_TASK_TIME);
    CONSTANT(KIMI_BUDGET_ALL_TIME);
    CONSTANT(KIMI_BUDGET_AGENTS);
    CONSTANT(KIMI_ANNEALING_LINEAR);
    CONSTANT(KIMI_ANNEALING_COSINE);

    STRUCT(kimi_model_options);
    FIELD(kimi_model_options, struct_size);
    FIELD(kimi_model_options, threads);
    FIELD(kimi_model_options, isa);
    FIELD(kimi_model_options, cache_type);
    FIELD(kimi_model_options, context_limit);
    FIELD(kimi_model_options, load_policy);
    FIELD(kimi_model_options, chunk_size);
    FIELD(kimi_model_options, log);
    FIELD(kimi_model_options, log_user_data);
    FIELD(kimi_model_options, log_level);
    FIELD(kimi_model_options, decode_bits);
    FIELD(kimi_model_options, dense);
    FIELD(kimi_model_options, exact);
    FIELD(kimi_model_options, memory_limit);
    FIELD(kimi_model_options, placement);
    FIELD(kimi_model_options, nodes);
    FIELD(kimi_model_options, replicate_bytes);
    FIELD(kimi_model_options, resident_bytes);
    FIELD(kimi_model_options, huge_pages);
    FIELD(kimi_model_options, vision_arithmetic);
    FIELD(kimi_model_options, heat);
    FIELD(kimi_model_options, features_limit);
    FIELD(kimi_model_options, prefix_limit);
    END(kimi_model_options);

    STRUCT(kimi_plan_options);
    FIELD(kimi_plan_options, struct_size);
    FIELD(kimi_plan_options, threads);
    FIELD(kimi_plan_options, synthetic);
    FIELD(kimi_plan_options, topology);
    FIELD(kimi_plan_options, heat);
    FIELD(kimi_plan_options, memory_limit);
    FIELD(kimi_plan_options, context);
    FIELD(kimi_plan_options, sequences);
    FIELD(kimi_plan_options, cache_type);
    FIELD(kimi_plan_options, dense);
    FIELD(kimi_plan_options, placement);
    FIELD(kimi_plan_options, nodes);
    FIELD(kimi_plan_options, chunk_size);
    FIELD(kimi_plan_options, replicate_bytes);
    FIELD(kimi_plan_options, resident_bytes);
    FIELD(kimi_plan_options, no_streaming);
    FIELD(kimi_plan_options, compare);
    FIELD(kimi_plan_options, bandwidth);
    FIELD(kimi_plan_options, link_bandwidth);
    FIELD(kimi_plan_options, disk_bandwidth);
    FIELD(kimi_plan_options, barrier);
    END(kimi_plan_options);

    STRUCT(kimi_session_options);
    FIELD(kimi_session_options, struct_size);
    FIELD(kimi_session_options, priority);
    FIELD(kimi_session_options, context_limit);
    FIELD(kimi_session_options, on_shortage);
    FIELD(kimi_session_options, reserved);
    END(kimi_session_options);

    STRUCT(kimi_string_view);
    FIELD(kimi_string_view, bytes);
    FIELD(kimi_string_view, length);
    END(kimi_string_view);

    STRUCT(kimi_logit_bias);
    FIELD(kimi_logit_bias, id);
    FIELD(kimi_logit_bias, bias);
    END(kimi_logit_bias);

    STRUCT(kimi_token_logprob);
    FIELD(kimi_token_logprob, id);
    FIELD(kimi_token_logprob, logprob);
    END(kimi_token_logprob);

    STRUCT(kimi_generation_options);
    FIELD(kimi_generation_options, struct_size);
    FIELD(kimi_generation_options, greedy);
    FIELD(kimi_generation_options, max_tokens);
    FIELD(kimi_generation_options, seed);
    FIELD(kimi_generation_options, temperature);
    FIELD(kimi_generation_options, top_p);
    FIELD(kimi_generation_options, min_p);
    FIELD(kimi_generation_options, repetition_penalty);
    FIELD(kimi_generation_options, presence_penalty);
    FIELD(kimi_generation_options, frequency_penalty);
    FIELD(kimi_generation_options, top_k);
    FIELD(kimi_generation_options, top_logprobs);
    FIELD(kimi_generation_options, logit_bias);
    FIELD(kimi_generation_options, logit_bias_count);
    FIELD(kimi_generation_options, stop_strings);
    FIELD(kimi_generation_options, stop_string_count);
    FIELD(kimi_generation_options, stop_ids);
    FIELD(kimi_generation_options, stop_id_count);
    FIELD(kimi_generation_options, ignore_end);
    FIELD(kimi_generation_options, reserved);
    END(kimi_generation_options);

    STRUCT(kimi_event);
    FIELD(kimi_event, struct_size);
    FIELD(kimi_event, type);
    FIELD(kimi_event, done);
    FIELD(kimi_event, total);
    FIELD(kimi_event, id);
    FIELD(kimi_event, finish_reason);
    FIELD(kimi_event, text);
    FIELD(kimi_event, text_length);
    FIELD(kimi_event, logprob);
    FIELD(kimi_event, top_count);
    FIELD(kimi_event, top);
    FIELD(kimi_event, stop_string);
    FIELD(kimi_event, reserved);
    END(kimi_event);

    STRUCT(kimi_chat_options);
    FIELD(kimi_chat_options, struct_size);
    FIELD(kimi_chat_options, mode);
    FIELD(kimi_chat_options, max_tokens);
    FIELD(kimi_chat_options, reasoning_budget);
    FIELD(kimi_chat_options, seed);
    FIELD(kimi_chat_options, temperature);
    FIELD(kimi_chat_options, top_p);
    FIELD(kimi_chat_options, constrain);
    FIELD(kimi_chat_options, step_limit);
    FIELD(kimi_chat_options, append);
    FIELD(kimi_chat_options, parallel_calls);
    FIELD(kimi_chat_options, context_policy);
    FIELD(kimi_chat_options, reserved);
    FIELD(kimi_chat_options, context_callback);
    FIELD(kimi_chat_options, context_user_data);
    FIELD(kimi_chat_options, allow_files);
    FIELD(kimi_chat_options, reserved2);
    END(kimi_chat_options);

    STRUCT(kimi_chat_event);
    FIELD(kimi_chat_event, struct_size);
    FIELD(kimi_chat_event, type);
    FIELD(kimi_chat_event, step);
    FIELD(kimi_chat_event, call);
    FIELD(kimi_chat_event, text);
    FIELD(kimi_chat_event, text_length);
    FIELD(kimi_chat_event, call_id);
    FIELD(kimi_chat_event, name);
    FIELD(kimi_chat_event, code);
    FIELD(kimi_chat_event, finish_reason);
    FIELD(kimi_chat_event, done);
    FIELD(kimi_chat_event, total);
    FIELD(kimi_chat_event, prompt_tokens);
    FIELD(kimi_chat_event, cached_tokens);
    FIELD(kimi_chat_event, generated_tokens);
    FIELD(kimi_chat_event, reasoning_tokens);
    FIELD(kimi_chat_event, media_tokens);
    END(kimi_chat_event);

    STRUCT(kimi_tool_call);
    FIELD(kimi_tool_call, struct_size);
    FIELD(kimi_tool_call, step);
    FIELD(kimi_tool_call, id);
    FIELD(kimi_tool_call, name);
    FIELD(kimi_tool_call, arguments);
    FIELD(kimi_tool_call, arguments_length);
    FIELD(kimi_tool_call, agent);
    FIELD(kimi_tool_call, reserved);
    FIELD(kimi_tool_call, agent_name);
    END(kimi_tool_call);

    STRUCT(kimi_tool);
    FIELD(kimi_tool, struct_size);
    FIELD(kimi_tool, timeout_milliseconds);
    FIELD(kimi_tool, name);
    FIELD(kimi_tool, description);
    FIELD(kimi_tool, parameters);
    FIELD(kimi_tool, callback);
    FIELD(kimi_tool, user_data);
    FIELD(kimi_tool, any_thread);
    FIELD(kimi_tool, parallel_limit);
    FIELD(kimi_tool, scope);
    FIELD(kimi_tool, reserved);
    END(kimi_tool);

    STRUCT(kimi_queue_event);
    FIELD(kimi_queue_event, struct_size);
    FIELD(kimi_queue_event, type);
    FIELD(kimi_queue_event, tag);
    FIELD(kimi_queue_event, last);
    FIELD(kimi_queue_event, status);
    FIELD(kimi_queue_event, generation);
    FIELD(kimi_queue_event, chat);
    FIELD(kimi_queue_event, text);
    FIELD(kimi_queue_event, text_length);
    END(kimi_queue_event);

    STRUCT(kimi_swarm_options);
    FIELD(kimi_swarm_options, struct_size);
    FIELD(kimi_swarm_options, agent_limit);
    FIELD(kimi_swarm_options, main_steps);
    FIELD(kimi_swarm_options, task_steps);
    FIELD(kimi_swarm_options, task_tokens);
    FIELD(kimi_swarm_options, all_tokens);
    FIELD(kimi_swarm_options, task_milliseconds);
    FIELD(kimi_swarm_options, all_milliseconds);
    FIELD(kimi_swarm_options, result_bytes);
    FIELD(kimi_swarm_options, parallel_agents);
    FIELD(kimi_swarm_options, parallel_tools);
    FIELD(kimi_swarm_options, priority);
    FIELD(kimi_swarm_options, queue_limit);
    FIELD(kimi_swarm_options, context_limit);
    FIELD(kimi_swarm_options, main_mode);
    FIELD(kimi_swarm_options, agent_mode);
    FIELD(kimi_swarm_options, chat);
    FIELD(kimi_swarm_options, agent_request);
    FIELD(kimi_swarm_options, agent_request_length);
    END(kimi_swarm_options);

    STRUCT(kimi_swarm_event);
    FIELD(kimi_swarm_event, struct_size);
    FIELD(kimi_swarm_event, type);
    FIELD(kimi_swarm_event, agent);
    FIELD(kimi_swarm_event, parent);
    FIELD(kimi_swarm_event, name);
    FIELD(kimi_swarm_event, task);
    FIELD(kimi_swarm_event, outcome);
    FIELD(kimi_swarm_event, budget);
    FIELD(kimi_swarm_event, finish_reason);
    FIELD(kimi_swarm_event, cut);
    FIELD(kimi_swarm_event, reserved);
    FIELD(kimi_swarm_event, text);
    FIELD(kimi_swarm_event, text_length);
    FIELD(kimi_swarm_event, chat);
    FIELD(kimi_swarm_event, swarm);
    END(kimi_swarm_event);

    STRUCT(kimi_reward_options);
    FIELD(kimi_reward_options, struct_size);
    FIELD(kimi_reward_options, annealing);
    FIELD(kimi_reward_options, lambda1);
    FIELD(kimi_reward_options, lambda2);
    FIELD(kimi_reward_options, progress);
    FIELD(kimi_reward_options, width);
    END(kimi_reward_options);

    STRUCT(kimi_rewards);
    FIELD(kimi_rewards, struct_size);
    FIELD(kimi_rewards, reserved);
    FIELD(kimi_rewards, parallel);
    FIELD(kimi_rewards, finish);
    FIELD(kimi_rewards, quality);
    FIELD(kimi_rewards, efficiency);
    FIELD(kimi_rewards, lambda1);
    FIELD(kimi_rewards, lambda2);
    FIELD(kimi_rewards, training);
    FIELD(kimi_rewards, final_form);
    END(kimi_rewards);

    STRUCT(kimi_session_stats);
    FIELD(kimi_session_stats, struct_size);
    FIELD(kimi_session_stats, preemptions);
    FIELD(kimi_session_stats, position);
    FIELD(kimi_session_stats, prompt_tokens);
    FIELD(kimi_session_stats, reused_tokens);
    FIELD(kimi_session_stats, generated_tokens);
    FIELD(kimi_session_stats, steps);
    FIELD(kimi_session_stats, prompt_nanoseconds);
    FIELD(kimi_session_stats, generation_nanoseconds);
    FIELD(kimi_session_stats, bytes_read);
    FIELD(kimi_session_stats, cache_bytes);
    FIELD(kimi_session_stats, rows_exact);
    FIELD(kimi_session_stats, rows_fast);
    FIELD(kimi_session_stats, media_tokens);
    FIELD(kimi_session_stats, media_encoded);
    FIELD(kimi_session_stats, media_reused);
    FIELD(kimi_session_stats, restored_tokens);
    END(kimi_session_stats);

    return wrong;
}
